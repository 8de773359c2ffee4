// Which cards are chosen, for a batch. Kept in this browser alone: choosing asks no server.
import { useSyncExternalStore } from "react";

const NONE = new Set();
let chosen = NONE;
let anchor = "";
const hearers = new Set();

function choose(next, from = anchor) {
  anchor = from;
  chosen = next;
  hearers.forEach((hear) => hear());
}
const subscribe = (hear) => {
  hearers.add(hear);
  return () => hearers.delete(hear);
};

/** The ids of all that is chosen: a new set with every change. */
export const useSelection = () => useSyncExternalStore(subscribe, () => chosen, () => NONE);
export const useChosen = (id) => useSyncExternalStore(subscribe, () => chosen.has(id), () => false);

export const clear = () => chosen.size && choose(NONE, "");

export function toggle(id) {
  const next = new Set(chosen);
  next.delete(id) || next.add(id);
  choose(next, id);
}

/** Only what still `stands` stays chosen. */
export function keepOnly(stands) {
  const next = [...chosen].filter(stands);
  if (next.length < chosen.size) choose(new Set(next));
}

const columnOf = (card) => card?.closest("[data-column]");
const cardsIn = (column) => [...(column?.querySelectorAll("[data-card]") ?? [])];
const cardOf = (id) => document.querySelector(`[data-card="${id}"]`);
const idOf = (card) => card.dataset.card;

/** From the last one that was chosen to this, as the column shows them; in another column this alone. */
export function range(id) {
  const cards = cardsIn(columnOf(cardOf(id))).map(idOf);
  const ends = [cards.indexOf(anchor), cards.indexOf(id)];
  if (ends[0] < 0) return choose(new Set([...chosen, id]), id);
  choose(new Set([...chosen, ...cards.slice(Math.min(...ends), Math.max(...ends) + 1)]));
}

/** This card, and the next in its column, which gets the focus. */
function extend(card, by) {
  const cards = cardsIn(columnOf(card));
  const next = cards[cards.indexOf(card) + by];
  if (next) next.querySelector(".card-link").focus();
  next?.scrollIntoView({ block: "nearest" });
  choose(new Set([...chosen, idOf(card), ...(next ? [idOf(next)] : [])]), chosen.size ? anchor : idOf(card));
}

/** Whether a key that was pressed on the board is about choosing. `focus` is what has the focus. */
export function selecting(event, focus) {
  const { key, shiftKey } = event;
  const card = focus?.closest?.("[data-card]");
  if (event.ctrlKey || event.metaKey) {
    const cards = key.toLowerCase() === "a" ? cardsIn(focus?.closest?.("[data-column]")) : [];
    if (cards.length) choose(new Set([...chosen, ...cards.map(idOf)]), idOf(cards[0]));
    return cards.length > 0;
  }
  if (key === "x" && card) toggle(idOf(card));
  else if (shiftKey && key === "ArrowDown" && card) extend(card, 1);
  else if (shiftKey && key === "ArrowUp" && card) extend(card, -1);
  else if (key === "Escape" && chosen.size && !focus?.closest?.(".panel, .sheet")) clear();
  else return false;
  return true;
}
