// Markdown that others wrote: agents, and whoever describes a task.
import { createElement as h, memo } from "react";
import Markdown from "react-markdown";
import remarkGfm from "remark-gfm";

// Nothing of it may load or run: no HTML, no images, links open elsewhere.
const SAFE = {
  img: ({ alt }) => h("span", { className: "meta" }, alt ? `[image: ${alt}]` : "[image]"),
  a: ({ href, children }) =>
    h("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, children),
};
const PLUGINS = [remarkGfm];
export const Prose = memo(function Prose({ text }) {
  return h("div", { className: "prose" }, h(Markdown, { remarkPlugins: PLUGINS, components: SAFE }, text));
});
