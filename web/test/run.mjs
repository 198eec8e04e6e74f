// SPDX-License-Identifier: Apache-2.0
// The unit tests: each *.test.ts is bundled by itself and run by node:test.

import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const out = mkdtempSync(join(tmpdir(), 'page-test-'));
const tests = readdirSync(here).filter((name) => name.endsWith('.test.ts'));
await build({ entryPoints: tests.map((name) => join(here, name)), outdir: out, outExtension: { '.js': '.mjs' }, bundle: true, platform: 'node', format: 'esm', logLevel: 'warning' });
const made = tests.map((name) => join(out, name.replace(/\.ts$/, '.mjs')));
const { status } = spawnSync(process.execPath, ['--test', ...made], { stdio: 'inherit', env: { ...process.env, TZ: 'Asia/Shanghai' } });
rmSync(out, { recursive: true });
process.exit(status ?? 1);
