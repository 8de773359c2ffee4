// What an agent asks: one group for each question, one button for all of them.
import { createElement as h, useId, useState } from "react";

const NOTHING = { labels: [], own: false, text: "" };
const said = ({ labels, own, text }) => (own && text.trim() ? [...labels, text.trim()] : labels);

function Question({ question, given, onChange }) {
  const name = useId();
  const { multiple, custom, options } = question;
  const type = multiple ? "checkbox" : "radio";
  const toggle = (label) => {
    if (!multiple) return onChange({ ...given, labels: [label], own: false });
    const rest = given.labels.filter((one) => one !== label);
    onChange({ ...given, labels: rest.length < given.labels.length ? rest : [...rest, label] });
  };
  const own = (change) => onChange({ ...given, labels: multiple ? given.labels : [], own: true, ...change });
  const field = h("input", {
    className: "input",
    value: given.text,
    placeholder: options.length ? "Another answer" : "Your answer",
    "aria-label": options.length ? "Another answer" : "Your answer",
    onChange: (event) => own({ text: event.target.value, own: event.target.value !== "" }),
  });
  return h(
    "fieldset",
    { className: "question" },
    h("legend", null, question.text),
    options.map((option) =>
      h(
        "label",
        { key: option.label, className: "choice" },
        h("input", { type, name, checked: given.labels.includes(option.label), onChange: () => toggle(option.label) }),
        h("span", null, option.label, option.description ? h("small", { className: "meta" }, option.description) : null),
      ),
    ),
    !custom
      ? null
      : options.length
        ? h(
            "div",
            { className: "choice" },
            h("input", {
              type, name, checked: given.own, "aria-label": "Give another answer",
              onChange: () => own({ own: multiple ? !given.own : true }),
            }),
            field,
          )
        : field,
  );
}

export function Questions({ questions, onAnswer }) {
  const [all, setAll] = useState(() => questions.map(() => NOTHING));
  const answers = all.map(said);
  const submit = (event) => {
    event.preventDefault();
    onAnswer?.(answers);
  };
  return h(
    "form",
    { className: "questions", onSubmit: submit },
    questions.map((question, at) =>
      h(Question, { key: at, question, given: all[at], onChange: (given) => setAll(all.with(at, given)) }),
    ),
    h(
      "button",
      { className: "btn primary", type: "submit", disabled: answers.some((one) => one.length === 0) },
      "Answer",
    ),
  );
}
