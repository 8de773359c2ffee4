// Times that move by themselves. One clock for the page.
import { createElement, useEffect, useState } from "react";

const hearers = new Set();
let timer;
function useClock(active) {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!active) return;
    const hear = () => tick((n) => n + 1);
    hearers.add(hear);
    timer ??= setInterval(() => hearers.forEach((one) => one()), 1000);
    return () => {
      hearers.delete(hear);
      if (!hearers.size) timer = clearInterval(timer);
    };
  }, [active]);
}

export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

export function ago(ms) {
  const seconds = Math.round((Date.now() - ms) / 1000);
  if (seconds < 45) return "now";
  const steps = [[60, "m"], [3600, "h"], [86400, "d"], [604800, "w"], [31536000, "y"]];
  const [size, unit] = steps.findLast(([size]) => seconds >= size * 0.9) ?? steps[0];
  return `${Math.max(1, Math.round(seconds / size))}${unit}`;
}

export function Elapsed({ since, until }) {
  useClock(Boolean(since) && !until);
  if (!since) return null;
  return createElement(
    "time",
    { className: "num", title: "Started " + new Date(since).toLocaleString() },
    duration((until || Date.now()) - since),
  );
}

export function Ago({ at, className }) {
  useClock(Boolean(at));
  if (!at) return null;
  const exact = new Date(at);
  return createElement(
    "time",
    { className: "num " + (className ?? ""), dateTime: exact.toISOString(), title: exact.toLocaleString() },
    ago(at),
  );
}
