// The page as a whole: the theme, signing in and out, the connection.
import { createElement as h, useContext, useEffect, useState } from "react";
import { ColorModeContext, eventLoop, useStateContext } from "$/utils/context-registry";
import { Monitor, Moon, ShieldOff, Sun, TriangleAlert } from "lucide-react";

/** A full navigation: the next page connects anew, as whoever is signed in then. */
function arrive(path) {
  sessionStorage.removeItem("token");
  location.assign(path);
}

const WAY = /^\/(?![/\\])/;
async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    credentials: "same-origin",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (answer.ok) return null;
  const problem = await answer.json().catch(() => ({}));
  const fields = (problem.errors ?? []).map((one) => one.detail ?? one.message ?? one.msg).filter(Boolean);
  return fields.join(" ") || problem.detail || `The server answered ${answer.status}. Try again in a moment.`;
}

const FIELDS = {
  name: { label: "Name", type: "text", autoComplete: "name", required: true, maxLength: 100 },
  email: { label: "Email", type: "email", autoComplete: "email", required: true },
  password: { label: "Password", type: "password", required: true, maxLength: 200 },
};

export function SignIn({ action, fields, verb }) {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const [ready, setReady] = useState(false);
  useEffect(() => setReady(true), []);
  const submit = async (event) => {
    event.preventDefault();
    const body = Object.fromEntries(new FormData(event.target));
    setBusy(true);
    setError("");
    const trouble = await post(action, body).catch(() => "The server cannot be reached. Check the connection and try again.");
    setBusy(false);
    if (trouble) return setError(trouble);
    const next = new URLSearchParams(location.search).get("next") ?? "/";
    arrive(WAY.test(next) ? next : "/");
  };
  return h(
    "form",
    { onSubmit: submit, className: "form", method: "post" },
    fields.map((name, at) =>
      h(
        "label",
        { key: name, className: "field" },
        FIELDS[name].label,
        h("input", {
          ...FIELDS[name],
          label: undefined,
          name,
          className: "input",
          autoFocus: at === 0,
          minLength: name === "password" && action.endsWith("register") ? 8 : undefined,
          autoComplete: name === "password" ? (action.endsWith("register") ? "new-password" : "current-password") : FIELDS[name].autoComplete,
        }),
      ),
    ),
    error ? h("p", { className: "error-line", role: "alert" }, error) : null,
    h("button", { className: "btn primary", disabled: busy || !ready }, verb),
  );
}

/** Between signing in and registering: where to go afterwards goes along. */
export function Way({ href, className, children }) {
  const [query, setQuery] = useState("");
  useEffect(() => setQuery(location.search), []);
  return h("a", { href: href + query, className }, children);
}

export function SignOut({ className, children }) {
  const leave = async () => {
    await post("/api/auth/logout", {}).catch(() => null);
    arrive("/login");
  };
  return h("button", { className, onClick: leave, type: "button" }, children);
}

const MODES = [
  ["system", Monitor, "Follow the system"],
  ["light", Sun, "Light"],
  ["dark", Moon, "Dark"],
];
export function ThemeSwitch() {
  const { rawColorMode, setColorMode } = useContext(ColorModeContext);
  const [mounted, setMounted] = useState(false);
  useEffect(() => setMounted(true), []);
  return h(
    "div",
    { className: "segments", role: "radiogroup", "aria-label": "Theme" },
    MODES.map(([mode, Icon, label]) =>
      h(
        "button",
        {
          key: mode,
          role: "radio",
          type: "button",
          "aria-checked": mounted && rawColorMode === mode,
          title: label,
          "aria-label": label,
          onClick: () => setColorMode(mode),
        },
        h(Icon, { size: 14, strokeWidth: 1.75 }),
      ),
    ),
  );
}

/** How the engine is: as this page loaded it, or as the server told since. */
export function VitalsLine({ liveName, loaded }) {
  const told = useStateContext(liveName).vitals;
  const { trouble, hint } = told && told.at > loaded.at ? told : loaded;
  if (!trouble && !hint) return null;
  return h(
    "p",
    { className: trouble ? "banner warn" : "banner", role: "status" },
    h(trouble ? TriangleAlert : ShieldOff, { size: 14, strokeWidth: 1.75, "aria-hidden": true }),
    trouble || hint,
  );
}

/** One quiet line while the server cannot be reached; what is typed is kept and sent later. */
export function Connection({ liveName, onBehind }) {
  const [away, setAway] = useState(false);
  const { ended, behind } = useStateContext(liveName);
  useEffect(() => {
    if (ended) arrive("/login");
  }, [ended]);
  useEffect(() => {
    if (behind) onBehind?.();
  }, [behind]);
  useEffect(() => {
    const look = setInterval(() => setAway(eventLoop.connectErrors.length > 1), 1000);
    return () => clearInterval(look);
  }, []);
  if (!away) return null;
  return h("p", { className: "banner warn", role: "status" }, "The server cannot be reached. Trying again; nothing you typed is lost.");
}

/** How much is unread: as this page loaded it, or as the server told since. */
export function Unread({ liveName, loaded }) {
  const told = useStateContext(liveName).inbox;
  const { unread } = told && told.n > loaded.n ? told : loaded;
  if (!unread) return null;
  return h("span", { className: "unread num", "aria-label": `${unread} unread` }, unread > 99 ? "99+" : unread);
}

/** The list is read again when the server tells of something newer. */
export function InboxNews({ liveName, onNews }) {
  const n = useStateContext(liveName).inbox?.n;
  useEffect(() => {
    if (n) onNews?.();
  }, [n]);
  return null;
}

/** Where a page that may no longer be shown sends its person. */
export function Leave({ to }) {
  useEffect(() => {
    if (to) arrive(to);
  }, [to]);
  return null;
}
