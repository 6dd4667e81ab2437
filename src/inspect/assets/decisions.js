// The log of decisions, and the explanation of one.

import { bar, byId, bytes, clock, count, duration, element, pair, strategyName, whole, words } from './common.js';

const GLYPHS = { grow: '▲', shrink: '▼', switch_wait: '◆', hold: '●' };
const VERDICTS = { hit: '✓ hit', miss: '✗ miss', pending: '… pending' };

export const actionGlyph = (action) => GLYPHS[action] ?? '●';

/** Tells decisions apart: ids begin anew with each controller. */
export const keyOf = ({ channel, id, at_ns: at }) => `${channel}/${id}/${at}`;

/** Whether no more came than was forecast. */
export function verdict({ outcome }) {
  if (!outcome) return 'pending';
  return outcome.forecast_error_bytes >= 0 ? 'hit' : 'miss';
}

/** Both together, newest first and no more than `most`; of two copies of a decision the one stays that knows the outcome. */
export function mergeDecisions(known, newer, most) {
  const byKey = new Map();
  for (const decision of [...known, ...newer]) {
    const other = byKey.get(keyOf(decision));
    if (!other || decision.outcome !== null) byKey.set(keyOf(decision), decision);
  }
  return [...byKey.values()]
    .sort((one, other) => other.at_unix_ms - one.at_unix_ms || other.at_ns - one.at_ns)
    .slice(0, most);
}

/** Makes the list show `decisions`; items that stay are left in place, so that they keep the focus. */
export function renderLog(list, decisions, openKey, open) {
  const wanted = new Set(decisions.map(keyOf));
  const items = new Map();
  for (const item of [...list.children]) {
    if (wanted.has(item.dataset.key)) items.set(item.dataset.key, item);
    else item.remove();
  }
  decisions.forEach((decision, index) => {
    const key = keyOf(decision);
    const item = items.get(key) ?? newItem(decision, open);
    const shown = verdict(decision);
    if (item.dataset.verdict !== shown) {
      item.dataset.verdict = shown;
      item.querySelector('.badge').replaceWith(badge(shown));
    }
    item.firstChild.setAttribute('aria-current', key === openKey);
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  });
}

function newItem(decision, open) {
  const { id, channel, action, reason, blocker } = decision;
  const button = element('button', { type: 'button', click: () => open(decision) },
    element('span', { class: 'when' }, time(decision)),
    element('span', { class: `action ${action}` }, `${actionGlyph(action)} ${words(action)}`),
    element('span', { class: 'reason' }, `${words(reason)}${blocker ? `, kept back: ${words(blocker)}` : ''}`),
    badge(verdict(decision)),
    element('span', { class: 'sentence' }, decision.sentence),
    element('span', { class: 'origin' }, `${channel} ${id}`));
  const told = { 'data-id': id, 'data-channel': channel, 'data-key': keyOf(decision), 'data-verdict': verdict(decision) };
  return element('li', told, button);
}

function time({ at_unix_ms: at }) {
  return element('time', { datetime: new Date(at).toISOString() }, clock(at, true));
}

function badge(shown) {
  return element('span', { class: `badge ${shown}` }, VERDICTS[shown]);
}

/** Fills the explanation of `decision`, with the server's own words for it in `text`. */
export function renderExplanation(decision, text) {
  byId('explanation-title').replaceChildren(
    `${decision.channel} ${decision.id}: ${words(decision.action)} `,
    badge(verdict(decision)), ' ', element('small', {}, time(decision)));
  byId('explanation-body').replaceChildren(
    element('p', { class: 'text' }, text.trim()),
    element('div', { class: 'tables' }, comparisonTable(decision), contributionTable(decision.contributions),
      candidateTable(decision)),
    ...situationList(decision.situation));
}

/** Says in place of an explanation why there is none. */
export function renderNoExplanation(channel, id, why) {
  byId('explanation-title').textContent = `${channel} ${id}`;
  byId('explanation-body').replaceChildren(element('p', { class: 'empty' }, `No explanation: ${why}.`));
}

function comparisonTable({ prediction, outcome, blocker, duration_ns: took }) {
  const forecast = prediction.peak_backlog_bytes;
  const withBar = (value, kind) => {
    const largest = Math.max(forecast, outcome?.peak_backlog_bytes ?? 0, 1);
    return element('span', { class: 'measure' }, bytes(value), bar(value / largest, kind));
  };
  const rows = [['forecast', withBar(forecast, 'forecast')]];
  if (outcome) {
    const error = outcome.forecast_error_bytes;
    rows.push(
      ['came', withBar(outcome.peak_backlog_bytes, '')],
      [error >= 0 ? 'to spare' : 'too little by', bytes(Math.abs(error))],
      ['looked at for', duration(outcome.span_ns)],
      ['sender waits', whole(outcome.stalls)],
      ['old plan would have overflowed', outcome.would_have_overflowed ? 'yes' : 'no'],
    );
  } else {
    rows.push(['came', 'not known yet']);
  }
  rows.push(['forecast by', words(prediction.source)]);
  rows.push(blocker ? ['kept back by', words(blocker)] : ['done in', duration(took)]);
  const body = rows.map(([name, value]) =>
    element('tr', {}, element('th', { scope: 'row' }, name), element('td', {}, value)));
  return element('table', {}, element('caption', {}, 'Forecast and what came'), element('tbody', {}, ...body));
}

function contributionTable(contributions) {
  const largest = Math.max(...contributions.map(({ moved }) => Math.abs(moved)));
  const rows = contributions.map(({ feature, value, moved }) => [
    words(feature), count(value),
    element('span', { class: 'measure' }, `${moved > 0 ? '+' : ''}${moved.toFixed(2)}`,
      bar(Math.abs(moved) / largest, moved < 0 ? '' : 'forecast')),
  ]);
  const heads = ['feature', 'value', 'moved by'];
  return table('What moved the forecast most', heads, rows, 'None: a rule of thumb made this forecast.');
}

function candidateTable({ candidates, plan }) {
  const chosen = ({ ring_bytes: size, wait }) => size === plan.ring_bytes && strategyName(wait) === strategyName(plan.wait);
  const rows = candidates.map((candidate) => [
    `${bytes(candidate.plan.ring_bytes)}, ${strategyName(candidate.plan.wait)}${chosen(candidate.plan) ? ' (chosen)' : ''}`,
    `${count(candidate.cost_us_s)} us/s`,
  ]);
  return table('What was weighed', ['rings and wait', 'cost'], rows, 'Nothing else was weighed.');
}

function situationList(situation) {
  const { plan, bounds, ...rest } = situation;
  const single = Object.entries(rest).filter(([, value]) => value === null || typeof value !== 'object');
  const pairs = [
    ['rings', bytes(plan.ring_bytes)],
    ['allowed', `${bytes(bounds.ring_bytes_min)} to ${bytes(bounds.ring_bytes_max)}`],
    ['wait', strategyName(plan.wait)],
    ...single.map(([name, value]) => measured(name, value)),
  ];
  return [element('h3', {}, 'What was seen'), element('dl', { class: 'seen' }, ...pairs.map(pair))];
}

const SUFFIXES = [
  [/_bytes$/, '', bytes],
  [/_bytes_/, ' ', bytes],
  [/_us_s$/, '', (value) => `${count(value)} us/s`],
  [/_us$/, '', (value) => `${count(value)} us`],
  [/_s$/, '', (value) => `${count(value)} /s`],
];

/** A number with the unit that its name ends in. */
function measured(name, value) {
  if (typeof value === 'boolean') return [words(name), value ? 'yes' : 'no'];
  const [suffix, rest, format] = SUFFIXES.find(([pattern]) => pattern.test(name)) ?? [/$/, '', count];
  const label = words(name.replace(suffix, rest));
  // The largest number there is stands for what has no bound.
  if (value >= 2 ** 63) return [label, 'no bound'];
  return [label, typeof value === 'number' ? format(value) : (value ?? 'none')];
}

function table(caption, heads, rows, ifEmpty) {
  const head = element('tr', {}, ...heads.map((name) => element('th', { scope: 'col' }, name)));
  const body = rows.map((cells) => element('tr', {}, ...cells.map((cell) => element('td', {}, cell))));
  const none = element('tr', {}, element('td', { class: 'empty', colspan: heads.length }, ifEmpty));
  return element('table', {}, element('caption', {}, caption),
    element('thead', {}, head), element('tbody', {}, ...(rows.length > 0 ? body : [none])));
}
