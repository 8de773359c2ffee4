// A card that moves by itself, because its run did, travels once from where it was to where it is.
import { useLayoutEffect } from "react";

const left = new Map();
const MOVE = { duration: 120, easing: "ease-out" };

/** A person put it there: it is not seen flying after it. */
export const carried = new Set();

function travel(element, from) {
  const to = element.getBoundingClientRect();
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  if (Math.abs(to.left - from.left) + Math.abs(to.top - from.top) < 8) return;
  // Columns clip what leaves them, so a copy travels above the page and the card waits for it.
  const copy = element.cloneNode(true);
  copy.removeAttribute("data-card");
  copy.inert = true;
  Object.assign(copy.style, {
    position: "fixed", zIndex: 70, pointerEvents: "none",
    left: `${to.left}px`, top: `${to.top}px`, width: `${to.width}px`, height: `${to.height}px`,
  });
  document.body.append(copy);
  element.style.opacity = "0";
  const start = `translate(${from.left - to.left}px, ${from.top - to.top}px)`;
  copy.animate([{ transform: start }, { transform: "none" }], MOVE).finished.finally(() => {
    element.style.opacity = "";
    copy.remove();
  });
}

export function useTravel(ref, card) {
  const { id, status } = card;
  useLayoutEffect(() => {
    const element = ref.current;
    const before = left.get(id);
    left.delete(id);
    if (before && before.status !== status && performance.now() - before.at < 100 && !carried.delete(id)) {
      travel(element, before.rect);
    }
    return () => {
      // Many at once are a filter's or another board's doing: nothing travels.
      if (left.size >= 5) return;
      left.set(id, { rect: element.getBoundingClientRect(), status, at: performance.now() });
      setTimeout(() => left.delete(id), 200);
    };
  }, [id, status]);
}
