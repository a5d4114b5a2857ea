// Numbers, times and verdicts as a person says them, and what of all that needs a look.

export function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export const percent = (share) => `${(100 * share).toLocaleString("en-GB", { maximumFractionDigits: share > 0 && share < 0.01 ? 2 : 1 })}\u00a0%`;

export function seconds(value) {
  if (value == null) return "–";
  return value < 1 ? `${Math.round(1000 * value)}\u00a0ms` : `${value.toLocaleString("en-GB", { maximumFractionDigits: value < 10 ? 2 : 0 })}\u00a0s`;
}

export function age(passed) {
  if (passed < 90) return `${Math.max(0, Math.round(passed))} s`;
  if (passed < 5400) return `${Math.round(passed / 60)} min`;
  return passed < 172800 ? `${Math.round(passed / 3600)} h` : `${Math.round(passed / 86400)} days`;
}

export function when(at, exact = false) {
  const moment = new Date(at * 1000), today = moment.toDateString() === new Date().toDateString();
  const clock = moment.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", ...(exact ? { second: "2-digit" } : {}) });
  return today ? clock : `${moment.toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, ${clock}`;
}

export function reportLink({ report }) {
  return make("a", { href: `/dashboard/reports/${report.split("/").map(encodeURIComponent).join("/")}`, target: "_blank", rel: "noopener" }, "Report of this check");
}

// {version: number of its colour}: the same three for champion, challenger and previous, others after them.
export function tone(value) {
  const order = ["champion", "challenger", "previous"].map((alias) => value.targets[alias]?.version);
  const tones = {};
  order.forEach((version, i) => version && (tones[version] ??= i));
  Object.keys(value.traffic ?? {}).sort((a, b) => b - a).filter((version) => !(version in tones)).forEach((version, i) => (tones[version] = Math.min(3 + i, 9)));
  return tones;
}

const GOOD = ["yes", "opened", "promoted", "passed", "resumed", "retrained"], BAD = ["rolled_back", "refused", "failed", "worse"];
const SAID = { "retrain yes": "retrain", "retrain no": "no retraining", "canary opened": "canary opened", "canary rolled_back": "canary rolled back", "canary promoted": "canary promoted", "canary undecided": "canary called off" };

// [tone, words] of a decision.
export function verdict(kind, word) {
  const words = SAID[`${kind} ${word}`] ?? (word.startsWith(kind) ? word : `${kind}: ${word}`).replaceAll("_", " ");
  return [GOOD.includes(word) ? "good" : BAD.includes(word) ? "bad" : "", words];
}

// An alarm about a version that is no longer the champion is history.
export const alarms = ({ check, targets }) => !!check?.alarm && (!check.version || !targets.champion || check.version === targets.champion.version);

// [[tone, what, why]]: bad needs a person, wait is under way.
export function notices(data) {
  const found = [];
  if (data.problem) found.push(["bad", "No records.", data.problem]);
  if (!Object.keys(data.tasks).length) found.push(["wait", "Nothing is served yet.", ""]);
  if (data.gateway.backend_up === 0) found.push(["bad", "vLLM does not answer.", "Requests get 503 until it does; “make ui” says what runs."]);
  if (data.gateway.dropped > 0) found.push(["bad", `${data.gateway.dropped} records were dropped.`, "The disk is full or the database too slow; requests were answered all the same."]);
  for (const [name, task] of Object.entries(data.tasks)) {
    const { check, totals } = task;
    if (alarms(task)) found.push(["bad", `${name}: drift.`, check.reasons[0] ?? ""]);
    if (totals?.requests && totals.failed / totals.requests > 0.01) found.push(["bad", `${name}: ${percent(totals.failed / totals.requests)} of the requests failed.`, ""]);
    if (check && data.at - check.at > 3 * task.check_every) found.push(["bad", `${name}: no check for ${age(data.at - check.at)}.`, "The monitor is due every " + age(task.check_every) + "; “make ui” says whether it runs."]);
    if (task.canary !== "off" && task.targets.challenger) found.push(["wait", `${name}: canary open.`, `Version ${task.targets.challenger.version}, for ${age(data.at - task.canary_since)}.`]);
    if (task.retrainings?.some((one) => !one.ended_at)) found.push(["wait", `${name}: retraining.`, `Started ${when(task.retrainings.find((one) => !one.ended_at).started_at)}.`]);
  }
  return found;
}
