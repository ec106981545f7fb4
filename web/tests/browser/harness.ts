/** A real server with a database of its own, and people in a real browser. */
import { spawn, execFile } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { createConnection } from 'mysql2/promise';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContext, BrowserContextOptions, Locator, Page } from 'playwright-core';

// The tests run in the folder `web`.
const binary = resolve(process.env['COTERIE'] ?? '../target/debug/coterie');
const dist = resolve('dist');
const browserPath = process.env['CHROMIUM'] ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const axe = readFileSync(createRequire(resolve('package.json')).resolve('axe-core/axe.min.js'), 'utf8');

export const password = 'correct horse';

/** How long anything may take, on a machine that has much else to do. */
export const PATIENCE = 30_000;

interface Answer {
  accessToken: string;
  user: { userId: string };
}

export class World {
  #process: ChildProcess | undefined;
  #contexts: BrowserContext[] = [];
  /** What the console of any page has complained about. */
  readonly complaints: string[] = [];

  private constructor(
    readonly url: string,
    private browser: Browser,
    private folder: string,
    private database: string,
  ) {}

  static async start(): Promise<World> {
    const admin = process.env['TEST_DATABASE_URL']?.replace(/\/$/, '');
    if (!admin) throw new Error('Set TEST_DATABASE_URL to a MySQL server on which the tests may create databases.');
    if (!browserPath) throw new Error('There is no Chromium. Install it, or set CHROMIUM.');
    for (const file of [binary, join(dist, 'index.html')]) if (!existsSync(file)) throw new Error(`There is no ${file}. Build it first.`);
    const database = `coterie_web_${crypto.randomUUID().replaceAll('-', '')}`;
    const connection = await createConnection(admin);
    await connection.query(`CREATE DATABASE ${database} CHARACTER SET utf8mb4`);
    await connection.end();
    const folder = await mkdtemp(join(tmpdir(), 'coterie-web-'));
    const port = await freePort();
    const env = {
      PATH: process.env['PATH'],
      JWT_SECRET: 'a secret of the tests, of enough bytes',
      REFRESH_SECRET: 'another secret of the tests, of enough bytes',
      BCRYPT_COST: '4',
      SIGNUP_GRANTS: 'open',
      ...Object.fromEntries(['CHAT_LIST', 'MESSAGE', 'READ', 'FRAME', 'TICKET', 'UPLOAD', 'PASSWORD', 'LOGIN', 'REGISTER', 'ROOM', 'ADD', 'ROOM_POSTS'].map(name => [`${name}_LIMIT`, '0'])),
      DATABASE_URL: `${admin}/${database}`,
      PORT: String(port),
    };
    await promisify(execFile)(binary, ['migrate'], { cwd: folder, env });
    const browser = await chromium.launch({ executablePath: browserPath, args: ['--no-sandbox'] });
    const world = new World(`http://127.0.0.1:${port}`, browser, folder, database);
    await world.#serve(env);
    return world;
  }

  async #serve(env: NodeJS.ProcessEnv): Promise<void> {
    const child = (this.#process = spawn(binary, ['serve', '--web', dist], { cwd: this.folder, env, stdio: ['ignore', 'pipe', 'pipe'] }));
    let log = '';
    await new Promise<void>((found, lost) => {
      const hear = (text: Buffer) => {
        log += text.toString();
        if (log.includes('serving http')) found();
      };
      child.stdout.on('data', hear);
      child.stderr.on('data', hear);
      child.on('exit', () => lost(new Error(`The server ended: ${log}`)));
    });
  }

  async stop(): Promise<void> {
    await this.browser.close();
    if (this.#process) {
      this.#process.kill('SIGKILL');
      await once(this.#process, 'exit');
    }
    const connection = await createConnection(process.env['TEST_DATABASE_URL']!);
    await connection.query(`DROP DATABASE ${this.database}`);
    await connection.end();
    await rm(this.folder, { recursive: true });
  }

  async post<T = unknown>(path: string, body: object, token = ''): Promise<T> {
    const response = await fetch(this.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  /** A new user who is not in a browser. */
  async user(userId: string, name: string, more: object = {}): Promise<{ token: string; userId: string }> {
    const { accessToken, user } = await this.post<Answer>('/api/auth/register', { userId, name, password, ...more });
    return { token: accessToken, userId: user.userId };
  }

  /** A browser profile of its own with the page. */
  async page(options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    this.#contexts.push(context);
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    page.on('console', message => {
      // What the service refuses, and what has no connection, the browser writes down too.
      if (message.type() === 'error' && !/Failed to load resource|WebSocket connection to|ERR_INTERNET_DISCONNECTED/.test(message.text())) this.complaints.push(message.text());
    });
    page.on('pageerror', error => this.complaints.push(String(error)));
    await page.goto(this.url);
    return page;
  }

  /** Somebody who is signed in, in a browser profile of their own. */
  async signedIn(userId: string, options: BrowserContextOptions = {}): Promise<Page> {
    const page = await this.page(options);
    await signIn(page, userId);
    return page;
  }
}

export async function signIn(page: Page, userId: string): Promise<void> {
  await page.getByLabel('User name, e-mail or phone').fill(userId);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByRole('navigation').waitFor();
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise(done => server.close(done));
  return port;
}

interface Violation {
  id: string;
  impact: string;
  nodes: { html: string }[];
}

/** What axe finds serious or critical on a page, as text; empty when there is nothing. */
export async function seriousFaults(page: Page): Promise<string> {
  // Past the policy of the page, which runs nothing that is not its own.
  const session = await page.context().newCDPSession(page);
  await session.send('Runtime.evaluate', { expression: axe });
  const { result } = await session.send('Runtime.evaluate', {
    expression: 'axe.run({ resultTypes: ["violations"] }).then(({ violations }) => JSON.stringify(violations))',
    awaitPromise: true,
    returnByValue: true,
  });
  await session.detach();
  const violations = (JSON.parse(String(result.value)) as Violation[]).filter(({ impact }) => impact === 'serious' || impact === 'critical');
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(' | ')}`).join('\n');
}

/** By how many pixels a page is wider than its window. */
export const overflow = (page: Page): Promise<number> => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

// --- Places of the page -------------------------------------------------------------------------------------------

export const chat = (page: Page, name: string): Locator => page.getByRole('region', { name: 'Chats' }).getByRole('link').filter({ has: page.locator('.row-name', { hasText: name }) });
export const message = (page: Page, text: string): Locator => page.getByRole('article').filter({ hasText: text });
export const composer = (page: Page): Locator => page.getByLabel('Message', { exact: true });
export const dialog = (page: Page): Locator => page.getByRole('dialog');
export const notice = (page: Page, text: string): Locator => page.locator('.notice', { hasText: text });

export async function send(page: Page, text: string): Promise<void> {
  await composer(page).fill(text);
  await composer(page).press('Enter');
}

export async function act(page: Page, text: string, action: string): Promise<void> {
  const article = message(page, text).last();
  await article.hover();
  await article.getByRole('button', { name: 'Actions for the message' }).click();
  await page.getByRole('menuitem', { name: action }).click();
}

export async function newChat(page: Page, kind: string): Promise<void> {
  await page.goto(`${new URL(page.url()).origin}/#/`);
  await page.getByRole('button', { name: 'New chat' }).click();
  await page.getByRole('menuitem', { name: kind }).click();
}

export async function details(page: Page): Promise<Locator> {
  const panel = page.getByRole('complementary', { name: 'Details' });
  if (!(await panel.isVisible())) await page.getByRole('button', { name: 'Details', exact: true }).click();
  await panel.waitFor();
  return panel;
}
