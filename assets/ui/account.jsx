// Forms that speak with the API directly: passwords and tokens pass through no page's state.
import { createElement as h, useEffect, useState } from "react";
import { arrive, ask, held } from "./page.jsx";
import { Copy } from "./fields.jsx";

const NUMBERS = ["days"];

function bodyOf(form) {
  const given = Object.fromEntries(new FormData(form));
  for (const name of NUMBERS) if (name in given) given[name] = Number(given[name]);
  return given;
}

export function Ask({ action, verb, done, reveal, carries, to, quiet, onDone, children }) {
  const [error, setError] = useState("");
  const [answer, setAnswer] = useState(null);
  const [busy, setBusy] = useState(false);
  const [ready, setReady] = useState(false);
  useEffect(() => {
    if (carries) held();
    setReady(true);
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const body = bodyOf(form);
    if (carries) body[carries] = held();
    setBusy(true);
    setError("");
    setAnswer(null);
    const { said, trouble } = await ask(action, body);
    setBusy(false);
    if (trouble) return setError(trouble);
    form.reset();
    if (carries) sessionStorage.removeItem("link:" + location.pathname.replace(/\/$/, ""));
    if (to) return arrive(to);
    setAnswer(said);
    onDone?.();
  };
  const shown = answer && reveal ? answer[reveal] : "";
  return h(
    "form",
    { onSubmit: submit, className: "form", method: "post" },
    children,
    error ? h("p", { className: "error-line", role: "alert" }, error) : null,
    h("button", { className: quiet ? "btn" : "btn primary", disabled: busy || !ready, type: "submit" }, verb),
    shown
      ? h("div", { className: "rows" }, h("div", { className: "row" }, h("span", { className: "mono grow wrap revealed" }, shown), h(Copy, { text: shown, label: "Copy" })))
      : null,
    answer ? h("p", { className: "meta", role: "status" }, done) : null,
  );
}
