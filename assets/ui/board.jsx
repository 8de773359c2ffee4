// The board's moving parts: dragging cards, the filter, "show more".
import { createElement, useEffect, useRef } from "react";
import { CardBox, chooses, useChosen } from "./choosing.jsx";
import { GroupLine } from "./groupline.jsx";
import { clear, keepOnly } from "./selection.js";
import { carried, useTravel } from "./travel.js";
import { COLUMNS, WINDOW, useBoard, useLive, useMore, usePanelCard, usePanelVersion } from "./store.js";

/** Run `start` with the drag library once it is there; what it returns ends it. */
function useDrag(start, keys) {
  useEffect(() => {
    let end;
    let gone = false;
    import("./drag.js").then((drag) => gone || (end = start(drag)));
    return () => {
      gone = true;
      end?.();
    };
  }, keys);
}

export function Draggable({ card, className, children, ...rest }) {
  const ref = useRef(null);
  const latest = useRef(card);
  latest.current = card;
  useDrag((drag) => drag.cardIn(ref.current, () => latest.current), []);
  useTravel(ref, card);
  const chosen = useChosen(card.id);
  const own = { ref, className, "data-card": card.id, "data-chosen": chosen || undefined };
  return createElement(
    "article",
    { ...rest, ...own, ...chooses(card.id) },
    children,
    createElement(CardBox, { id: card.id, name: card.identifier, chosen }),
  );
}

/** The line above the cards of a finished batch. A card that is dropped there lands above the first of them. */
export function Group({ card, liveName }) {
  const ref = useRef(null);
  const latest = useRef(card);
  latest.current = card;
  useDrag((drag) => drag.aboveIn(ref.current, () => latest.current.first), []);
  const [, put] = useLive(liveName);
  const fold = () => put({ ["fold:" + card.group]: !card.folded });
  return createElement("div", { ref, className: "group" }, createElement(GroupLine, { card, onFold: fold }));
}

export function DropColumn({ column, children, className, ...rest }) {
  const ref = useRef(null);
  useDrag((drag) => drag.columnIn(ref.current, column), [column]);
  return createElement("div", { ...rest, ref, className, tabIndex: -1, "data-column": column }, children);
}

/** Where a card lands: its new neighbours, and an order between theirs for the time being. */
export function landing(cards, moved, over, edge) {
  const rest = cards.filter((card) => card.id !== moved);
  let index = rest.length;
  if (over) {
    index = rest.findIndex((card) => card.id === over);
    index = index < 0 ? rest.length : edge === "bottom" ? index + 1 : index;
  }
  const above = rest[index - 1];
  const below = rest[index];
  let order = 0;
  if (above && below) order = (above.order + below.order) / 2;
  else if (above) order = above.order + 1;
  else if (below) order = below.order - 1;
  return { above: above?.id ?? "", below: below?.id ?? "", order };
}

/** Hears every drop. The card moves at once; the server is told, and has the last word. */
export function Board({ boardName, liveName, onMove, children, className }) {
  const columns = useBoard(boardName, liveName);
  const [, put] = useLive(liveName);
  const latest = useRef();
  latest.current = { columns, put, onMove };
  useDrag(
    (drag) =>
      drag.drops((id, column, over, edge) => {
        const { columns, put, onMove } = latest.current;
        const card = COLUMNS.flatMap((name) => columns[name].all).find((one) => one.id === id);
        if (!card) return;
        const place = landing(columns[column].all, id, over, edge);
        const mine = { status: column, order: place.order, version: card.version };
        carried.add(id);
        put({ ["o:" + id]: mine });
        // Refused, or lost on the way: the card goes back where the server has it.
        setTimeout(() => put({ ["o:" + id]: null }), 4000);
        onMove?.(id, column, place.above, place.below);
      }),
    [],
  );
  // What left the board is no longer chosen; on another board nothing is.
  useEffect(() => keepOnly((id) => columns.known.has(id) && !columns.known.get(id).gone), [columns.known]);
  useEffect(() => clear, []);
  return createElement("main", { className, id: "board" }, children);
}

export function ShowMore({ liveName, column, hidden, rest, onMore }) {
  const [{ filter }, more] = useMore(liveName);
  const left = hidden + rest;
  if (!left) return null;
  const show = () => {
    more(column);
    if (rest && hidden < WINDOW) onMore?.(column);
  };
  return createElement(
    "button",
    { className: "btn ghost wide", onClick: show },
    filter && rest ? "Look in older tasks" : `Show ${Math.min(left, WINDOW)} more of ${left}`,
  );
}

export function Filter({ liveName }) {
  const [live, put] = useLive(liveName);
  return createElement("input", {
    id: "filter",
    className: "input filter",
    type: "search",
    placeholder: "Filter",
    "aria-label": "Filter tasks",
    "aria-keyshortcuts": "/",
    value: live.filter ?? "",
    onChange: (event) => put({ filter: event.target.value }),
    onKeyDown: (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      put({ filter: "" });
      event.target.blur();
    },
  });
}

/** Tells the server when the open task has changed since its panel was read. */
export function Stale({ panelName, liveName, onStale }) {
  const card = usePanelCard(panelName, liveName);
  const read = usePanelVersion(panelName);
  useEffect(() => {
    if (!card.id || !(card.version > read)) return;
    const soon = setTimeout(() => onStale?.(), 60);
    return () => clearTimeout(soon);
  }, [card.id, card.version, read]);
  return null;
}
