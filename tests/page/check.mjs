// Checks the inspect page in a browser as an operator would use it.
//
//     node check.mjs BASE_URL OUTPUT_DIRECTORY [SECONDS_TO_WAIT_FOR_A_DECISION [SECONDS_UNTIL_IT_IS_SHOWN]]
//
// The address may choose a channel (?channel=NAME); else the page chooses the first. It must have traffic, and its
// controller must decide something within that time (60 s unless told). The clock of the server must be this machine's.
// The browser is $CHROMIUM, or /usr/bin/chromium. Exits with 1 where a check fails.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { chromium } from 'playwright-core';

const [base, output, patience = '60', shownWithin = '2'] = process.argv.slice(2);
if (!base || !output) {
  console.error('usage: node check.mjs BASE_URL OUTPUT_DIRECTORY [SECONDS_TO_WAIT_FOR_A_DECISION [SECONDS_UNTIL_IT_IS_SHOWN]]');
  process.exit(2);
}
const ORIGIN = new URL(base).origin;
const PATIENCE_MS = Number(patience) * 1000;
const SHOWN_WITHIN_MS = Number(shownWithin) * 1000;

const CHECKS = [
  ['only the page itself may run scripts', scriptsAreConfined],
  ['the curves are drawn', curvesAreDrawn],
  ['a new decision shows up by itself', newDecisionShowsUp],
  ['a click explains a decision', clickExplains],
  ['Enter explains a decision, Escape closes it', enterExplains],
  ['back goes back', backGoesBack],
  ['everything is within reach of the keyboard', keyboardReaches],
  ['narrow: nothing overflows', narrowFits, { viewport: { width: 360, height: 740 } }],
  ['it can be read without scripts', readsWithoutScripts, { javaScriptEnabled: false }],
  ['light: a picture', takePicture('light'), { colorScheme: 'light' }],
  ['dark: a picture', takePicture('dark'), { colorScheme: 'dark' }],
];

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
let failures = 0;
try {
  await mkdir(output, { recursive: true });
  for (const [name, check, options] of CHECKS) await run(name, check, options);
} finally {
  await browser.close();
}
process.exitCode = failures > 0 ? 1 : 0;

/** Runs a check on a page of its own; complaints of the browser and requests to elsewhere fail it as well. */
async function run(name, check, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: 'light', ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol !== 'data:' && origin !== ORIGIN) complaints.push(`a request to ${request.url()}`);
  });
  try {
    const found = await check(page);
    assert.deepEqual(complaints, [], 'the browser complained');
    console.log(`ok      ${name}${found ? `: ${found}` : ''}`);
  } catch (error) {
    failures += 1;
    console.error(`FAILED  ${name}: ${error.message}`);
  } finally {
    await context.close();
  }
}

async function scriptsAreConfined(page) {
  const answer = await page.goto(base);
  const policy = answer.headers()['content-security-policy'] ?? '';
  for (const part of ["default-src 'none'", "script-src 'self'"]) assert.ok(policy.includes(part), `the policy lacks ${part}: ${policy}`);
}

async function open(page) {
  await page.goto(base);
  await page.locator('#decisions > li[data-id]').first().waitFor({ timeout: PATIENCE_MS });
  await page.waitForFunction(() => !document.querySelector('.is-empty'));
}

/** How many colours a canvas shows: one is a blank. */
function coloursOf(page, selector) {
  return page.locator(selector).evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
  });
}

async function curvesAreDrawn(page) {
  await open(page);
  const before = await page.locator('#chart canvas').evaluate((canvas) => canvas.toDataURL());
  for (const id of ['chart', 'arrivals', 'waits']) {
    const colours = await coloursOf(page, `#${id} canvas`);
    assert.ok(colours > 10, `#${id} shows ${colours} colours: it looks blank`);
  }
  assert.ok((await coloursOf(page, '#ribbon canvas')) > 1, 'the ribbon is blank');
  await page.waitForFunction((old) => document.querySelector('#chart canvas').toDataURL() !== old, before, { timeout: 5000 });
}

async function newDecisionShowsUp(page) {
  await page.addInitScript(() => {
    window.shown = [];
    document.addEventListener('DOMContentLoaded', () => {
      const note = (item) => item.dataset?.id && window.shown.push({ ...item.dataset, at: Date.now() });
      const observer = new MutationObserver((changes) => changes.forEach(({ addedNodes }) => addedNodes.forEach(note)));
      observer.observe(document.querySelector('#decisions'), { childList: true });
    });
  });
  await open(page);
  const openedAt = Date.now();
  const fresh = await page.waitForFunction((since) => window.shown.find(({ at }) => at > since + 500), openedAt, { timeout: PATIENCE_MS });
  const { channel, id, at } = await fresh.jsonValue();
  const { decision } = await (await fetch(`${ORIGIN}/explain?${new URLSearchParams({ channel, id })}`)).json();
  const late = at - decision.at_unix_ms;
  assert.ok(late >= -50 && late <= SHOWN_WITHIN_MS, `decision ${channel} ${id} showed up ${late} ms after it was made`);
  return `after ${late} ms`;
}

async function assertExplained(page, id) {
  await page.locator('#explanation').waitFor();
  const text = await page.locator('#explanation').innerText();
  assert.ok(text.includes(`Decision ${id} of channel`), `the explanation does not tell of decision ${id}: ${text.slice(0, 200)}`);
  for (const caption of ['Forecast and what came', 'What was weighed', 'What was seen']) {
    assert.ok(text.includes(caption), `the explanation lacks "${caption}"`);
  }
}

/** A decision that new ones above it do not move out of reach. */
async function someDecision(page) {
  const key = await page.locator('#decisions > li[data-id]').first().getAttribute('data-key');
  return page.locator(`#decisions > li[data-key=${JSON.stringify(key)}]`);
}

async function clickExplains(page) {
  await open(page);
  const item = await someDecision(page);
  await item.locator('button').click();
  await assertExplained(page, await item.getAttribute('data-id'));
}

async function enterExplains(page) {
  await open(page);
  const item = await someDecision(page);
  await item.locator('button').focus();
  await page.keyboard.press('Enter');
  await assertExplained(page, await item.getAttribute('data-id'));
  await page.keyboard.press('Escape');
  await page.locator('#explanation').waitFor({ state: 'hidden' });
  assert.ok(await item.locator('button').evaluate((button) => button === document.activeElement), 'the focus did not return');
}

async function backGoesBack(page) {
  await open(page);
  const chosen = () => new URL(page.url()).searchParams.get('channel');
  const first = chosen();
  await (await someDecision(page)).locator('button').click();
  await page.locator('#explanation').waitFor();
  await page.goBack();
  await page.locator('#explanation').waitFor({ state: 'hidden' });
  assert.equal(chosen(), first);
  const others = page.locator('#channels tbody tr:not(.is-chosen) a');
  if ((await others.count()) === 0) return 'one channel only, so that there was no other to choose';
  await others.first().click();
  assert.notEqual(chosen(), first);
  await page.goBack();
  await page.locator(`#channels tr.is-chosen[data-channel=${JSON.stringify(first)}]`).waitFor();
  return '';
}

async function keyboardReaches(page) {
  await open(page);
  const wanted = ['#channels a', '#window input', '#pause', '#filters select', '#decisions button'];
  const reached = new Set();
  for (let presses = 0; presses < 80 && reached.size < wanted.length; presses += 1) {
    await page.keyboard.press('Tab');
    const found = await page.evaluate((selectors) => {
      const { activeElement: active } = document;
      const outlined = active.matches('input') ? active.nextElementSibling : active;
      return selectors.filter((selector) => active.matches(selector) && getComputedStyle(outlined).outlineStyle !== 'none');
    }, wanted);
    found.forEach((selector) => reached.add(selector));
  }
  const missed = wanted.filter((selector) => !reached.has(selector));
  assert.deepEqual(missed, [], 'Tab did not reach these, or their focus is not to be seen');
}

async function assertNoSidewaysScroll(page, when) {
  const [content, width] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(content <= width, `${when}: the page is ${content} px wide in a window of ${width}`);
}

async function narrowFits(page) {
  await open(page);
  await page.waitForTimeout(1500);
  await assertNoSidewaysScroll(page, 'the page');
  const tallest = await page.locator('.histogram .column').evaluateAll((bars) => Math.max(0, ...bars.map((bar) => bar.offsetHeight)));
  const judged = await page.locator('.histogram').count();
  assert.ok(judged === 0 || tallest > 20, 'the histogram shows no bars');
  await page.screenshot({ path: path.join(output, 'narrow.png'), fullPage: true });
  const item = await someDecision(page);
  await item.locator('button').click();
  await assertExplained(page, await item.getAttribute('data-id'));
  await assertNoSidewaysScroll(page, 'the explanation');
  await page.screenshot({ path: path.join(output, 'narrow-explanation.png') });
}

async function readsWithoutScripts(page) {
  await page.goto(base);
  assert.ok(await page.locator('#channels tbody tr').first().isVisible(), 'no channel is to be seen');
  assert.ok(await page.locator('#decisions > li p').first().isVisible(), 'no explanation is to be seen');
  for (const id of ['chart', 'filters']) {
    assert.ok(!(await page.locator(`#${id}`).isVisible()), `#${id} is to be seen, and does nothing`);
  }
  await page.screenshot({ path: path.join(output, 'no-scripts.png') });
}

function takePicture(name) {
  return async (page) => {
    await open(page);
    await (await someDecision(page)).locator('button').click();
    await page.locator('#explanation').waitFor();
    await page.waitForTimeout(2500);
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: path.join(output, `${name}.png`) });
    await page.screenshot({ path: path.join(output, `${name}-whole.png`), fullPage: true });
  };
}
