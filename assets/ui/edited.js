// What an edit changed, line by line, from the texts that the agent's tool was given.
import { structuredPatch } from "diff";

const CONTEXT = 2;
const PATIENCE = 50;
const KINDS = { "+": "add", "-": "del", " ": "ctx" };
const ended = (text) => text.replace(/\n?$/, "\n");
const lines = (text) => text.replace(/\n$/, "").split("\n");

/** Lines `{kind: add | del | ctx | hunk, text}`. Texts that take too long to compare show one after the other. */
export function edited(input) {
  const before = String(input.oldString ?? "");
  const after = String(input.newString ?? input.content ?? "");
  const whole = (text, kind) => (text ? lines(text).map((line) => ({ kind, text: line })) : []);
  if (!before || !after) return [...whole(before, "del"), ...whole(after, "add")];
  const how = { context: CONTEXT, timeout: PATIENCE };
  const patch = structuredPatch("", "", ended(before), ended(after), "", "", how);
  if (!patch) return [...whole(before, "del"), ...whole(after, "add")];
  return patch.hunks.flatMap((hunk, at) => [
    ...(at ? [{ kind: "hunk", text: "" }] : []),
    ...hunk.lines.map((line) => ({ kind: KINDS[line[0]], text: line.slice(1) })),
  ]);
}
