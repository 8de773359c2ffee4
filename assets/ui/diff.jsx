// A unified diff: files at the left, lines at the right, as much of it as the reader has come to.
import { createElement as h, useEffect, useMemo, useRef, useState } from "react";

const LANGUAGES = {
  py: "python", js: "javascript", jsx: "javascript", mjs: "javascript", ts: "typescript", tsx: "typescript",
  rs: "rust", go: "go", rb: "ruby", java: "java", c: "c", h: "c", cpp: "cpp", cs: "csharp", php: "php",
  css: "css", scss: "scss", html: "xml", xml: "xml", vue: "xml", json: "json", md: "markdown",
  yml: "yaml", yaml: "yaml", toml: "ini", ini: "ini", sh: "bash", sql: "sql", swift: "swift", kt: "kotlin",
};
const PAGE = 400;
const FEW = 3;

/** The patch as files of numbered lines. */
export function parse(patch) {
  const files = [];
  let file = null;
  let old = 0;
  let now = 0;
  let body = false;
  for (const line of (patch ?? "").split("\n")) {
    if (line.startsWith("diff --git ")) {
      const path = / b\/(.*)$/.exec(line)?.[1] ?? line.slice(11);
      files.push((file = { path, lines: [], add: 0, del: 0, note: "" }));
      body = false;
      continue;
    }
    if (!file) continue;
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)$/.exec(line);
    if (hunk) {
      [old, now, body] = [Number(hunk[1]), Number(hunk[2]), true];
      file.lines.push({ kind: "hunk", text: hunk[3].trim() });
    } else if (!body) {
      if (line.startsWith("+++ b/")) file.path = line.slice(6);
      else if (line.startsWith("Binary files")) file.note = "Binary file, not shown";
      else if (line.startsWith("new file")) file.note = "New file";
      else if (line.startsWith("deleted file")) file.note = "Deleted";
      else if (line.startsWith("rename from ")) file.note = "Renamed from " + line.slice(12);
    } else if (line[0] === "+") {
      file.add += 1;
      file.lines.push({ kind: "add", now: now++, text: line.slice(1) });
    } else if (line[0] === "-") {
      file.del += 1;
      file.lines.push({ kind: "del", old: old++, text: line.slice(1) });
    } else if (line[0] === " ") {
      file.lines.push({ kind: "ctx", old: old++, now: now++, text: line.slice(1) });
    }
  }
  return files;
}

let highlighter;
function useHighlighter() {
  const [hljs, setHljs] = useState(() => highlighter);
  useEffect(() => {
    if (!hljs) import("highlight.js/lib/common").then((m) => setHljs(() => (highlighter = m.default)));
  }, []);
  return hljs;
}

function Code({ text, language, hljs }) {
  const html = useMemo(() => {
    if (!hljs || !language || text.length > 400 || !hljs.getLanguage(language)) return null;
    return hljs.highlight(text, { language, ignoreIllegals: true }).value;
  }, [text, language, hljs]);
  // highlight.js escapes the text and adds only <span class>.
  return html === null ? h("code", null, text) : h("code", { dangerouslySetInnerHTML: { __html: html } });
}

function File({ file, hljs, anchor }) {
  const [size, setSize] = useState(PAGE);
  const language = LANGUAGES[file.path.split(".").pop()];
  return h(
    "section",
    { className: "diff-file", id: anchor },
    h(
      "header",
      null,
      h("span", { className: "mono path", title: file.path }, file.path),
      h("span", { className: "num stat" }, h("b", { className: "add" }, "+" + file.add), " ", h("b", { className: "del" }, "−" + file.del)),
    ),
    file.note ? h("p", { className: "meta note" }, file.note) : null,
    h(
      "div",
      { className: "scroll lines" },
      h(
        "div",
        { className: "dls" },
        file.lines.slice(0, size).map((line, at) =>
          line.kind === "hunk"
            ? h("div", { key: at, className: "dl hunk mono" }, "⋯ ", line.text)
            : h(
                "div",
                { key: at, className: "dl " + line.kind },
                h("i", { className: "no num" }, line.old ?? ""),
                h("i", { className: "no num" }, line.now ?? ""),
                h(Code, { text: line.text, language, hljs }),
              ),
        ),
      ),
    ),
    file.lines.length > size
      ? h("button", { className: "btn ghost wide", onClick: () => setSize(size + 4 * PAGE) }, `Show ${file.lines.length - size} more lines`)
      : null,
  );
}

export function Diff({ patch, empty }) {
  const files = useMemo(() => parse(patch), [patch]);
  const hljs = useHighlighter();
  const [shown, setShown] = useState(20);
  const box = useRef(null);
  if (!files.length) return h("p", { className: "empty" }, empty);
  const go = (at) => {
    setShown((n) => Math.max(n, at + 1));
    requestAnimationFrame(() => box.current.querySelector("#file-" + at)?.scrollIntoView({ block: "start" }));
  };
  return h(
    "div",
    { className: files.length === 1 ? "diff one" : files.length <= FEW ? "diff few" : "diff" },
    files.length > 1 && h(
      "nav",
      { className: "diff-tree", "aria-label": "Changed files" },
      files.map((file, at) => {
        const cut = file.path.lastIndexOf("/") + 1;
        return h(
          "button",
          { key: file.path + at, className: "tree-row", onClick: () => go(at), title: file.path },
          h("span", { className: "mono path" }, h("span", { className: "dir" }, file.path.slice(0, cut)), file.path.slice(cut)),
          h("span", { className: "num stat" }, h("b", { className: "add" }, "+" + file.add), " ", h("b", { className: "del" }, "−" + file.del)),
        );
      }),
    ),
    h(
      "div",
      { className: "diff-body scroll", ref: box, tabIndex: 0, role: "region", "aria-label": "Diff" },
      files.slice(0, shown).map((file, at) => h(File, { key: file.path + at, file, hljs, anchor: "file-" + at })),
      files.length > shown
        ? h("button", { className: "btn ghost wide", onClick: () => setShown(shown + 50) }, `Show ${files.length - shown} more files`)
        : null,
    ),
  );
}
