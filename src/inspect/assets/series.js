// The points of the window shown, as columns.

/** More points than this are not to be told apart on a screen: those that fall into one bucket of time are merged. */
const BUCKETS = 1200;

// A merged point keeps the largest of what must fit, so that no peak gets lost, and the mean of what is a rate.
const PEAKS = ['capacity_bytes', 'backlog_bytes', 'forecast_bytes'];
const RATES = ['arrived_bytes_s', 'sender_wait_share', 'receiver_wait_share'];
const COLUMNS = ['t_ms', 'span_ms', 'strategy', ...PEAKS, ...RATES];

/** How much time one point of a series stands for at least. */
export const bucketMs = ({ windowMs }) => windowMs / BUCKETS;

export function emptySeries(windowMs) {
  const columns = Object.fromEntries(COLUMNS.map((name) => [name, []]));
  return { ...columns, windowMs, latestMs: 0 };
}

/** Adds what an answer has that is newer than what is there; strategies are kept by name, as answers number them anew. */
export function append(series, { points, strategies }) {
  points.t_ms.forEach((time, index) => {
    if (time <= series.latestMs) return;
    if (isSameBucket(series, time)) mergePoint(series, points, index);
    else pushPoint(series, points, index);
    series.strategy[series.t_ms.length - 1] = strategies[points.strategy[index]];
    series.latestMs = time;
  });
  forgetOlder(series, series.latestMs - series.windowMs);
}

function isSameBucket(series, time) {
  const bucket = (ms) => Math.floor(ms / bucketMs(series));
  return bucket(time) === bucket(series.latestMs);
}

function pushPoint(series, points, index) {
  for (const name of ['t_ms', 'span_ms', ...PEAKS, ...RATES]) series[name].push(points[name][index]);
}

function mergePoint(series, points, index) {
  const last = series.t_ms.length - 1;
  series.span_ms[last] += points.span_ms[index];
  const share = points.span_ms[index] / (series.span_ms[last] || 1);
  for (const name of PEAKS) series[name][last] = Math.max(series[name][last], points[name][index]);
  for (const name of RATES) series[name][last] += (points[name][index] - series[name][last]) * share;
}

function forgetOlder(series, fromMs) {
  // One point beyond the left edge stays, so that lines begin at the edge.
  const old = series.t_ms.findIndex((time) => time >= fromMs) - 1;
  if (old > 0) for (const name of COLUMNS) series[name].splice(0, old);
}

/** Adds the points that came while an answer was under way. */
export function appendSeries(series, newer) {
  const strategies = [...new Set(newer.strategy)];
  append(series, { points: { ...newer, strategy: newer.strategy.map((name) => strategies.indexOf(name)) }, strategies });
}

/** Stretches of time with one strategy, oldest first. */
export function strategyRuns(series) {
  const runs = [];
  series.t_ms.forEach((time, index) => {
    const name = series.strategy[index];
    if (runs.at(-1)?.name !== name) runs.push({ name, from: time, to: time });
    const next = series.t_ms[index + 1];
    runs.at(-1).to = next ?? series.latestMs;
  });
  return runs;
}
