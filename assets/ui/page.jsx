// The page as a whole: the theme, signing in and out, the connection.
import { createElement as h, useContext, useEffect, useState } from "react";
import { ColorModeContext, eventLoop, useStateContext } from "$/utils/context-registry";
import { Monitor, Moon, ShieldOff, Sun, TriangleAlert } from "lucide-react";

/** A full navigation: the next page connects anew, as whoever is signed in then. */
export function arrive(path) {
  sessionStorage.removeItem("token");
  location.assign(path);
}

const WAY = /^\/(?![/\\])/;
const AWAY = "The server cannot be reached. Check the connection and try again.";

/** What is wrong, as the API says it: in a sentence, or by the fields that it could not read. */
function words({ detail = "", errors = [] }) {
  if (!detail.startsWith("Check these fields")) return detail;
  return [detail, ...errors.map((one) => `${one.detail}.`)].join(" ");
}

/** Asks the API: its answer, or what is wrong in words. Never throws. */
export async function ask(path, body) {
  try {
    const answer = await fetch(path, {
      method: body ? "POST" : "GET",
      credentials: "same-origin",
      headers: body ? { "Content-Type": "application/json" } : {},
      body: body ? JSON.stringify(body) : undefined,
    });
    const said = (await answer.json().catch(() => null)) ?? {};
    if (answer.ok) return { said };
    return { trouble: words(said) || `The server answered ${answer.status}. Try again in a moment.` };
  } catch {
    return { trouble: AWAY };
  }
}

/**
 * What the link that led to this page holds behind its `#`. It leaves the address at once, and stays in
 * this tab until it is used.
 */
export function held(page = location.pathname.replace(/\/$/, "")) {
  const key = "link:" + page;
  const given = location.hash.slice(1);
  if (given && location.pathname.startsWith(page)) {
    sessionStorage.setItem(key, given);
    history.replaceState(history.state, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(key) ?? "";
}

/** Why one may make an account: a link to one, to a team, or to the first administrator. */
export function invitation() {
  const team = (new URLSearchParams(location.search).get("next") ?? "").match(/^\/join\/([\w-]+)/);
  return held("/register") || team?.[1] || held("/administrator");
}

/** What one without an account may do here; null until it is known. */
function useRules() {
  const [rules, setRules] = useState(null);
  useEffect(() => {
    ask("/api/auth/registration").then(({ said }) => setRules(said ?? {}));
  }, []);
  return rules;
}

const REFUSED = {
  closed: "Registration is closed here. Ask an administrator for an account.",
  invitation: "An account needs an invitation here. Ask an administrator, or a team's admin, for a link, and open it.",
};
/** Registering, where one may; else who to ask. */
export function Register(props) {
  const rules = useRules();
  const [invited, setInvited] = useState(null);
  useEffect(() => setInvited(invitation()), []);
  const refused = rules && !invited && REFUSED[rules.registration];
  if (refused) return h("p", { role: "status" }, refused);
  return h(SignIn, { ...props, more: () => ({ invitation: invitation() || null }), after: () => sessionStorage.removeItem("link:/register") });
}

const NO_MAIL = [
  "This server sends no mail. Ask an administrator to run ",
  h("code", { key: "command" }, "openlinear reset-password"),
  " with your email: it prints a link for you.",
];
/** What is shown where a forgotten password is helped by mail; else who to ask. */
export function ByMail({ children }) {
  const rules = useRules();
  return rules?.mail === false ? h("p", { role: "status" }, NO_MAIL) : children;
}

const FIELDS = {
  name: { label: "Name", type: "text", autoComplete: "name", required: true, maxLength: 100 },
  email: { label: "Email", type: "email", autoComplete: "email", required: true },
  password: { label: "Password", type: "password", required: true, maxLength: 200 },
};

export function SignIn({ action, fields, verb, more, after }) {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const [ready, setReady] = useState(false);
  useEffect(() => setReady(true), []);
  const submit = async (event) => {
    event.preventDefault();
    const body = { ...Object.fromEntries(new FormData(event.target)), ...more?.() };
    setBusy(true);
    setError("");
    const { trouble } = await ask(action, body);
    setBusy(false);
    if (trouble) return setError(trouble);
    after?.();
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
    await ask("/api/auth/logout", {});
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
