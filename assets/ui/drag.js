// Picking cards up and dropping them. Loaded in the browser alone: the library knows no server.
import { combine } from "@atlaskit/pragmatic-drag-and-drop/combine";
import {
  draggable,
  dropTargetForElements,
  monitorForElements,
} from "@atlaskit/pragmatic-drag-and-drop/element/adapter";
import {
  attachClosestEdge,
  extractClosestEdge,
} from "@atlaskit/pragmatic-drag-and-drop-hitbox/closest-edge";
import { autoScrollForElements } from "@atlaskit/pragmatic-drag-and-drop-auto-scroll/element";

const isCard = ({ source }) => Boolean(source.data.card);
const flag = (element, name, value) =>
  value === null ? delete element.dataset[name] : (element.dataset[name] = value);

/** A card that can be picked up, and that says on which side of it another would land. */
export function cardIn(element, card) {
  return combine(
    draggable({
      element,
      getInitialData: () => ({ card: card().id }),
      onDragStart: () => flag(element, "dragging", ""),
      onDrop: () => flag(element, "dragging", null),
    }),
    dropTargetForElements({
      element,
      canDrop: isCard,
      getData: ({ input }) =>
        attachClosestEdge({ over: card().id }, { element, input, allowedEdges: ["top", "bottom"] }),
      onDrag: ({ self, source }) =>
        flag(element, "edge", source.data.card === card().id ? null : extractClosestEdge(self.data)),
      onDragLeave: () => flag(element, "edge", null),
      onDrop: () => flag(element, "edge", null),
    }),
  );
}

/** What stands above a card without being one: what is dropped there lands above that card. */
export function aboveIn(element, first) {
  return dropTargetForElements({ element, canDrop: isCard, getData: () => ({ over: first() }) });
}

export function columnIn(element, column) {
  return combine(
    dropTargetForElements({
      element,
      canDrop: isCard,
      getData: () => ({ column }),
      onDragEnter: () => flag(element, "over", ""),
      onDragLeave: () => flag(element, "over", null),
      onDrop: () => flag(element, "over", null),
    }),
    autoScrollForElements({ element }),
  );
}

/** Tells of every drop: the card, the column, the card under it (or undefined) and its nearer edge. */
export function drops(tell) {
  return monitorForElements({
    canMonitor: isCard,
    onDrop: ({ source, location }) => {
      const targets = location.current.dropTargets;
      const column = targets.find((target) => target.data.column)?.data.column;
      const over = targets.find((target) => target.data.over);
      if (!column || over?.data.over === source.data.card) return;
      tell(source.data.card, column, over?.data.over, over && extractClosestEdge(over.data));
    },
  });
}
