// From the figures of a task to its six charts.

import { draw, scale } from "./charts.js";
import { age, make, percent, reportLink, seconds, verdict, when } from "./words.js";

const MOST_COLOURS = 7; // evidence of more things than these is drawn in grey
const FLOOR = -2; // evidence below 1 : 100 says nothing more

export function charts(owner, value, data, tones) {
  const frame = { since: data.since, until: data.at, bucket: data.bucket, marks: marks(value, data.since) };
  const versions = Object.keys(value.traffic);
  const curve = (from, of) => Object.entries(from).map(([version, points]) => ({ name: `version ${version}`, tone: tones[version], points: points.map((point) => [point.at + data.bucket / 2, of(point)]).filter(([, y]) => y != null) }));
  const share = (part, whole) => (point) => (point[whole] ? point[part] / point[whole] : null);
  const none = versions.length ? null : "No requests.";
  for (const name of ["rate", "latency", "failed", "valid", "agreed"]) owner.querySelector(`[data-plot=${name}]`).hidden = !!none; // the task says so itself
  plot(owner, "rate", frame, rates(value, data, tones), none, upwards((y) => y.toLocaleString("en-GB", { maximumFractionDigits: y < 10 ? 1 : 0 })));
  const latency = [...curve(value.traffic, (point) => point.p50), ...curve(value.traffic, (point) => point.p95).map((one) => ({ ...one, name: `${one.name}, 95 %`, thin: true }))];
  plot(owner, "latency", frame, latency, none, upwards(seconds));
  plot(owner, "failed", frame, curve(value.traffic, share("failed", "requests")), none, upwards(percent, 0.01));
  const checked = curve(value.traffic, share("valid", "asked"));
  plot(owner, "valid", frame, checked, none ?? (checked.some((one) => one.points.length) ? null : "No answer could be checked: only POST /tasks/… is."), downwards);
  plot(owner, "agreed", frame, curve(value.agreement, share("agreed", "judged")), Object.keys(value.agreement).length ? null : "No feedback in this stretch: clients send a thumb or a corrected answer to POST /feedback.", downwards);
  drift(owner, value, frame);
}

function plot(owner, name, frame, series, none, axis) {
  const figure = owner.querySelector(`[data-plot=${name}]`);
  let empty = figure.querySelector(".empty");
  if (none && !empty) figure.append((empty = make("p", { className: "empty" })));
  if (empty) empty.hidden = !none;
  if (none) empty.textContent = none;
  for (const part of figure.querySelectorAll("svg,.readout,.key")) part.toggleAttribute("hidden", !!none);
  if (!none) draw(figure, { ...frame, series, ...axis(series.flatMap((one) => one.points.map(([, y]) => y))) });
  return figure;
}

// Requests a minute. A bucket without requests is a zero, not a gap; one that has only just begun says nothing yet.
function rates(value, data, tones) {
  const served = [value.targets.champion, value.canary === "off" ? null : value.targets.challenger].map((target) => target?.version), { at: now, bucket } = data;
  return Object.entries(value.traffic).map(([version, points]) => {
    const known = new Map(points.map((point) => [point.at, point.requests])), made = [];
    const last = served.includes(version) ? now : points.at(-1).at + 1;
    for (let at = points[0].at; at < last; at += bucket) {
      const passed = Math.min(bucket, now - at);
      if (passed > bucket / 2) made.push([at + bucket / 2, (60 * (known.get(at) ?? 0)) / passed]);
    }
    return { name: `version ${version}`, tone: tones[version], points: made };
  });
}

const upwards = (show, least = 0) => (values) => {
  const { low, high, step } = scale(0, Math.max(least, ...values) || 1);
  return { low, high, step, show, tick: show };
};

// Shares that should be near 1: from the next tenth below the lowest.
const downwards = (values) => {
  const low = Math.min(0.9, Math.floor(10 * Math.min(1, ...values)) / 10);
  return { low, high: 1, step: low >= 0.85 ? 0.05 : low >= 0.6 ? 0.1 : 0.25, show: percent, tick: (y) => `${Math.round(100 * y)} %` };
};

function marks(value, since) {
  return value.decisions
    .filter(({ at, kind, verdict: word }) => at >= since && (["canary", "promote", "rollback"].includes(kind) || (kind === "retrain" && word === "yes")))
    .map(({ at, kind, verdict: word }) => ({ at, name: `${verdict(kind, word)[1]} (${when(at)})` }));
}

const odds = (y) => (y < 12 ? (10 ** y).toLocaleString("en-GB", { maximumSignificantDigits: 2, notation: y < 4 ? "standard" : "compact" }) : power(y));
const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
const power = (y) => (Math.abs(y) < 3 ? (10 ** y).toLocaleString("en-GB") : `10${[...String(Math.round(y))].map((digit) => RAISED[digit]).join("")}`);

function checked({ check, check_every: due }) {
  if (!check) return [];
  const said = `Last check ${when(check.at)}${check.version ? ` of version ${check.version}` : ""}: ${check.requests} new requests, ${check.alarm ? "alarm" : "no alarm"}; one every ${age(due)}. `;
  return [said, ...(check.report ? [reportLink(check)] : [])];
}

function drift(owner, value, frame) {
  const every = value.evidence, newest = every.at(-1)?.evidence ?? {};
  const names = [...new Set(every.flatMap((check) => Object.keys(check.evidence)))].sort((a, b) => (newest[b] ?? -Infinity) - (newest[a] ?? -Infinity));
  const series = names.map((name, i) => ({ name: name.replaceAll("_", " "), tone: i < MOST_COLOURS ? i : 9, points: every.filter((check) => check.evidence[name] != null).map((check) => [check.at, check.evidence[name]]) }));
  const limits = every.filter((check) => check.threshold != null).map((check) => [check.at, check.threshold]);
  const none = every.length ? null : value.check ? `No check in this stretch; the last was ${when(value.check.at)}.` : "No check yet: the monitor runs by itself, “make monitor” runs it now.";
  const axis = (values) => {
    const { low, high, step } = scale(FLOOR, Math.max(1, ...values, ...limits.map(([, y]) => y + 0.5)), 5);
    const whole = Math.max(1, Math.ceil(step));
    return { low, high: low + whole * Math.ceil((high - low) / whole), step: whole, show: odds, tick: power, steps: true };
  };
  owner.querySelector(".check").replaceChildren(...checked(value));
  const alarms = every.filter((check) => check.alarm).map((check) => check.at);
  const figure = plot(owner, "drift", { ...frame, limits, limitName: "alarm", alarms }, series.reverse(), none, axis);
  if (none) return;
  let key = figure.querySelector(".key");
  if (!key) figure.append((key = make("ul", { className: "key versions" })));
  const words = [...series].reverse().map(({ name, tone, points }) => [name, tone, odds(points.at(-1)?.[1] ?? 0)]);
  const seen = JSON.stringify(words);
  if (key.seen !== seen) key.replaceChildren(...words.map(([name, tone, newest_]) => make("li", {}, make("i", { className: `swatch tone${tone}` }), `${name} `, make("small", {}, newest_))));
  key.seen = seen;
}
