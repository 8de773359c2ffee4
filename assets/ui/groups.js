// Cards of one finished batch that stand together in a column get a line above them.

const batchOf = (card) => (card?.run.state === "done" ? card.run.batch : "");

/**
 * The cards with such lines among them; of a folded batch the line alone. `sizeOf` says how many tasks a batch
 * had, where that is known; `blank` makes what is no card.
 */
export function grouped(cards, live, sizeOf, blank) {
  const out = [];
  for (let at = 0; at < cards.length; ) {
    const group = batchOf(cards[at]);
    let end = at + 1;
    while (group && batchOf(cards[end]) === group) end += 1;
    const together = cards.slice(at, end);
    const line = together.length > 1 ? lineOf(group, together, live, sizeOf, blank) : null;
    if (line) out.push(line);
    if (!line?.folded) out.push(...together);
    at = end;
  }
  return out;
}

function lineOf(group, together, live, sizeOf, blank) {
  const { pr, url } = together[0].run;
  const ended = Math.max(...together.map((card) => card.run.ended));
  const own = { group, first: together[0].id, size: sizeOf(group) ?? together.length };
  const folded = Boolean(live["fold:" + group]);
  return blank({ ...own, folded, id: `group:${group}:${together[0].id}`, project: together[0].project, run: { pr, url, ended } });
}
