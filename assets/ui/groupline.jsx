// "Batch of 4 · #12 · 2m": what stands above the cards of a finished batch.
import { createElement as h } from "react";
import { Link } from "react-router";
import { ChevronRight, GitPullRequest } from "lucide-react";
import { Ago } from "./time.jsx";

export function GroupLine({ card, onFold }) {
  const { pr, url, ended } = card.run;
  const says = card.folded ? "Show its cards" : "Fold its cards";
  return [
    h(
      "button",
      { key: "fold", type: "button", className: "fold", "aria-expanded": !card.folded, "aria-label": says, title: says, onClick: onFold },
      h(ChevronRight, { size: 14, strokeWidth: 1.75, "aria-hidden": true }),
    ),
    h(Link, { key: "open", to: `/p/${card.project}/b/${card.group}`, title: "Open the batch", draggable: false }, `Batch of ${card.size}`),
    pr
      ? h(
          "a",
          { key: "pr", href: url, target: "_blank", rel: "noopener noreferrer", className: "pr state done num", title: "Open the pull request" },
          h(GitPullRequest, { size: 14, strokeWidth: 1.75, "aria-hidden": true }),
          "#" + pr,
        )
      : null,
    h(Ago, { key: "ago", at: ended, className: "end" }),
  ];
}
