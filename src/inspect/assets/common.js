// What every part of the page uses: building elements, asking the server, and numbers with their units.

/** Builds an element; values that are functions become listeners, and null or false leaves an attribute out. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') node.addEventListener(name, value);
    else if (value !== null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export const byId = (id) => document.getElementById(id);

/** A name and its value, for a `dl`. */
export function pair([name, value]) {
  return element('div', {}, element('dt', {}, name), element('dd', {}, value));
}

/** A bar filled to `share` of its width. What it says stands beside it as text. */
export function bar(share, kind = '') {
  const fill = element('span', { class: 'fill' });
  fill.style.width = `${100 * Math.min(Math.max(share || 0, 0), 1)}%`;
  return element('span', { class: `bar ${kind}`, 'aria-hidden': 'true' }, fill);
}

export async function getJson(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== '' && value !== null);
  const answer = await fetch(`${path}?${new URLSearchParams(given)}`);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error ?? `the server answered ${answer.status}`);
  return body;
}

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

const rounded = (value) => (Math.abs(value) < 1000 ? Number(value.toPrecision(3)) : Math.round(value));

export function count(value) {
  return rounded(value).toLocaleString('en');
}

/** A number that is counted, not measured, and therefore shown whole. */
export function whole(value) {
  return Math.round(value).toLocaleString('en');
}

export function bytes(value) {
  let scaled = value;
  let unit = 0;
  for (; Math.abs(scaled) >= 1024 && unit < UNITS.length - 1; unit += 1) scaled /= 1024;
  return `${unit === 0 ? whole(scaled) : count(scaled)} ${UNITS[unit]}`;
}

export function percent(share, digits = 1) {
  return `${(100 * share).toFixed(digits)} %`;
}

export function duration(nanoseconds) {
  if (nanoseconds < 1e6) return `${count(nanoseconds / 1e3)} us`;
  return nanoseconds < 1e9 ? `${count(nanoseconds / 1e6)} ms` : `${count(nanoseconds / 1e9)} s`;
}

export function clock(unixMs, withMilliseconds = false) {
  const date = new Date(unixMs);
  const part = (value, digits = 2) => String(value).padStart(digits, '0');
  const seconds = [date.getHours(), date.getMinutes(), date.getSeconds()].map((value) => part(value)).join(':');
  return withMilliseconds ? `${seconds}.${part(date.getMilliseconds(), 3)}` : seconds;
}

/** A name from the server as words. */
export function words(name) {
  return name.replaceAll('_', ' ');
}

/** A wait strategy as the server's tables name it. */
export function strategyName(wait) {
  const [kind, fields] = typeof wait === 'string' ? [wait, {}] : Object.entries(wait)[0];
  return fields.budget_ns === undefined ? kind : `${kind}(${count(fields.budget_ns / 1e3)} us)`;
}
