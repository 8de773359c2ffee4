// Signing in elsewhere: out to a provider in this tab, and back by its redirect.
import { createElement as h, useEffect, useState } from "react";
import { arrive, ask, invitation } from "./page.jsx";

/** Asks the API where to go, and goes there; what is wrong in words when there is no way. */
async function leave(path, body) {
  const { said, trouble } = await ask(path, body);
  if (trouble) return trouble;
  arrive(said.url); // who comes back is somebody else to Reflex
  return "";
}

/** The providers that this server is set up for, and what a sign-in that failed means. */
export function OtherWays() {
  const [offered, setOffered] = useState({ items: [], trouble: "" });
  const [error, setError] = useState("");
  useEffect(() => {
    const query = new URLSearchParams(location.search);
    const told = new URLSearchParams({ trouble: query.get("trouble") ?? "", by: query.get("by") ?? "" });
    ask("/api/auth/ways?" + told).then(({ said }) => said && setOffered(said));
  }, []);
  const go = async (id) => {
    const next = new URLSearchParams(location.search).get("next") ?? "/";
    setError(await leave("/api/auth/" + id, { next, invitation: invitation() || null }));
  };
  const trouble = error || offered.trouble;
  if (!offered.items.length && !trouble) return null;
  return h(
    "div",
    { className: "form" },
    trouble ? h("p", { className: "error-line", role: "alert" }, trouble) : null,
    offered.items.map(({ id, name }) =>
      h("button", { key: id, type: "button", className: "btn", onClick: () => go(id) }, `Continue with ${name}`),
    ),
  );
}

/** Connects the account that is logged in; comes back to this page. */
export function Connect({ provider, children, className }) {
  const [error, setError] = useState("");
  const go = async () => setError(await leave("/api/auth/identities/" + provider, { next: location.pathname }));
  return h(
    "span",
    { className: "saves" },
    error ? h("span", { className: "error-line", role: "alert" }, error) : null,
    h("button", { type: "button", className, onClick: go }, children),
  );
}
