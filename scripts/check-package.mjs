// The package works where nothing else is: packs it, checks the tarball with publint and attw, installs
// it in an empty project, and uses it there by import and by require, from TypeScript as well. Twice: as
// `npm pack` makes it, with this platform's native module inside, and as it is released, with the
// native module in a package of its own.

import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const tool = (...parts) => join(root, 'node_modules', ...parts)
const windows = process.platform === 'win32'

function run(command, args, options) {
  console.error(`\n$ ${[command, ...args].join(' ').replaceAll(root, '.')}`)
  const { status, stdout, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    shell: windows && command === 'npm',
    ...options,
  })
  process.stderr.write(stdout ?? '')
  if (error) throw error
  if (status !== 0) throw new Error(`${command} ${args[0]} fails; why stands above`)
  return stdout
}

const node = (script, args, options) => run(process.execPath, [script, ...args], options)

const nativeModule = (folder) => readdirSync(folder).find((name) => name.endsWith('.node'))

/** Packs the package in a folder; the path of the tarball. */
function pack(folder, into) {
  const name = run('npm', ['pack', '--silent', '--pack-destination', into], { cwd: folder })
  return join(into, name.trim().split('\n').at(-1))
}

/** The package that brings the native module to this platform, as the release makes it. */
function packPlatform(work) {
  const native = join(root, 'ts', 'bridge', 'native')
  const module = nativeModule(native)
  const folders = join(root, 'npm')
  node(tool('@napi-rs', 'cli', 'dist', 'cli.js'), ['create-npm-dirs'])
  try {
    // miolo.linux-x64-gnu.node → npm/linux-x64-gnu
    const folder = join(folders, module.split('.')[1])
    copyFileSync(join(native, module), join(folder, module))
    return pack(folder, work)
  } finally {
    rmSync(folders, { recursive: true })
  }
}

const PROGRAM = `
  const loop = new EventLoop()
  const sender = loop.channel()
  loop.timeoutMs('once', 1)
  loop.run({
    timeout(loop, payload) { sender.send(payload + ' upon a time') },
    notify(loop, message) { console.log(message); loop.shutdown() },
  }).then(() => loop.close())
`

const TYPED_PROGRAM = `
  const loop = new EventLoop<string, string>()
  const sender = loop.channel()
  loop.timeoutMs('once', 1)
  const done: Promise<void> = loop.run({
    timeout(_loop, payload) { sender.send(payload.toUpperCase()) },
    notify(loop, message) { console.log(message); loop.shutdown() },
  })
  done.then(() => loop.close())
`

const USES = {
  'import.mjs': `import { EventLoop } from 'miolo'\n${PROGRAM}`,
  'require.cjs': `const { EventLoop } = require('miolo')\n${PROGRAM}`,
  'typed.mts': `import { EventLoop } from 'miolo'\n${TYPED_PROGRAM}`,
  'typed.cts': `import miolo = require('miolo')\nimport EventLoop = miolo.EventLoop\n${TYPED_PROGRAM}`,
}

function install(app, tarballs) {
  mkdirSync(app)
  writeFileSync(join(app, 'package.json'), '{ "private": true }\n')
  run('npm', ['install', '--offline', '--no-audit', '--no-fund', ...tarballs], { cwd: app })
  return app
}

function use(app) {
  for (const [name, text] of Object.entries(USES)) writeFileSync(join(app, name), text)
  for (const name of ['import.mjs', 'require.cjs']) {
    if (!node(name, [], { cwd: app, timeout: 30_000 }).includes('once upon a time')) {
      throw new Error(`${name}: its message did not arrive`)
    }
  }
  // Without skipLibCheck: index.d.ts itself is checked too, with nothing around it.
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023']
  const types = ['--lib', 'es2023,esnext.disposable', '--types', 'node']
  const typeRoots = ['--typeRoots', tool('@types')]
  const programs = ['typed.mts', 'typed.cts']
  node(tool('typescript-7', 'bin', 'tsc'), [...options, ...types, ...typeRoots, ...programs], {
    cwd: app,
  })
}

const work = mkdtempSync(join(tmpdir(), 'miolo-package-'))
try {
  const main = pack(root, work)
  const platform = packPlatform(work)
  run('tar', ['tzf', main])
  node(tool('publint', 'src', 'cli.js'), ['run', main, '--strict'])
  // It would warn that `require` gets an ES module, which the Nodes that the package is for can do.
  const ignored = ['--ignore-rules', 'cjs-resolves-to-esm']
  node(tool('@arethetypeswrong', 'cli', 'dist', 'index.js'), [main, ...ignored])

  use(install(join(work, 'packed'), [main]))
  const released = install(join(work, 'released'), [main, platform])
  const inside = join(released, 'node_modules', 'miolo', 'dist', 'bridge', 'native')
  rmSync(join(inside, nativeModule(inside)))
  use(released)
  console.log('\nThe package installs and works in an empty project.')
} catch (error) {
  console.error(`\n${error.message}`)
  process.exitCode = 1
} finally {
  rmSync(work, { recursive: true, force: true })
}
