// Rolls the types of ts/ up into index.d.ts: the public API on one page, for people and for TypeScript.
//
//   node scripts/api.mjs           writes it
//   node scripts/api.mjs --check   fails if the committed one is not what would be written

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const page = join(root, 'index.d.ts')

const HEADER = `// The public API of miolo on one page. Generated from ts/ by \`npm run api\`: change it there.

`

function runTool(script, args, options) {
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(root, 'node_modules', script), ...args],
    {
      cwd: root,
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'inherit'],
      ...options,
    },
  )
  if (status !== 0) throw new Error(`${script} fails; why stands above`)
  return stdout
}

/** One page of declarations, in the order of their dependencies, without the internal ones. */
function rollUp() {
  const folder = mkdtempSync(join(tmpdir(), 'miolo-api-'))
  const out = join(folder, 'index.d.ts')
  try {
    runTool('dts-bundle-generator/dist/bin/dts-bundle-generator.js', [
      ...['--project', 'tsconfig.build.json', '--out-file', out],
      ...['--export-referenced-types=false', '--no-banner', '--no-check', '--silent'],
      'ts/index.ts',
    ])
    return readFileSync(out, 'utf8')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** One blank line between declarations, in the style of the sources. */
function format(declarations) {
  const spaced = declarations.replaceAll(/^(\}|[^\s/*].*;)\n(?=\S)/gm, '$1\n\n')
  return runTool('oxfmt/bin/oxfmt', ['--stdin-filepath=index.d.ts'], { input: HEADER + spaced })
}

const fresh = format(rollUp())
const check = process.argv.includes('--check')
if (!check) {
  writeFileSync(page, fresh)
} else if (!existsSync(page) || readFileSync(page, 'utf8') !== fresh) {
  console.error('index.d.ts is stale: run `npm run api`, read what has changed, and commit it.')
  process.exitCode = 1
} else {
  console.log('index.d.ts is what ts/ says.')
}
