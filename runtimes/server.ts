import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname } from 'node:path';
import { NotStarted, type Started, startedTwice, TIMEOUT } from './place.ts';
import { project } from './project.ts';
import type { Result } from './suite.ts';

const types: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

const isolation = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
};

export type Headers = Record<string, string>;
type Posted = Partial<Result> & { error?: string };

/** A page that is to come: `asked` when a browser fetches it. */
const expected = new Map<string, { headers: Headers; asked(): void; resolve(posted: Posted): void }>();
let listening: Promise<string> | undefined;

/** Files of the project, with the headers of the page that they belong to; a page posts its result to /result?id. */
function serve(): Promise<string> {
  const server = createServer(async (request, response) => {
    const { pathname, search } = new URL(request.url!, 'http://localhost');
    const page = expected.get(search);
    if (request.method === 'POST') {
      let body = '';
      for await (const chunk of request) body += chunk;
      page?.resolve(JSON.parse(body) as Posted);
      response.end();
      return;
    }
    page?.asked();
    const file = project + pathname;
    const found = existsSync(file) && extname(file) in types;
    const contentType = types[extname(file)] ?? 'text/plain';
    response.writeHead(found ? 200 : 404, { 'content-type': contentType, ...(page?.headers ?? isolation) });
    if (found) createReadStream(file).pipe(response);
    else response.end();
  });
  return new Promise((resolve) =>
    server.listen(0, 'localhost', () => resolve(`http://localhost:${(server.address() as AddressInfo).port}`)),
  );
}

let pages = 0;

/** Opens a page of the project and waits for what it posts. `open` starts the browser. */
export const resultOf = (path: string, open: (url: string) => Started, headers: Headers = isolation): Promise<Result> =>
  startedTwice(() => resultOfOne(path, open, headers));

async function resultOfOne(path: string, open: (url: string) => Started, headers: Headers): Promise<Result> {
  listening ??= serve();
  const search = `?${pages++}`;
  const url = `${await listening}/${path}${search}`;
  let asked = false;
  let timer: NodeJS.Timeout | undefined;
  const posted = new Promise<Posted>((resolve) => {
    expected.set(search, { headers, asked: () => (asked = true), resolve });
    timer = setTimeout(() => resolve({ error: 'nothing came from the page' }), TIMEOUT);
  });
  const browser = open(url);
  const ended = new Promise<Posted>((resolve) => {
    for (const event of ['exit', 'error'])
      browser.child.on(event, (reason) => resolve({ error: `the browser ended: ${reason}` }));
  });
  const { error, ...result } = await Promise.race([posted, ended]);
  clearTimeout(timer);
  browser.stop();
  expected.delete(search);
  if (error && !asked) throw new NotStarted(`${path} was not opened: ${error}\n${browser.printed()}`);
  if (error) throw new Error(`${path}: ${error}\n${browser.printed()}`);
  return result as Result;
}

export { isolation };
