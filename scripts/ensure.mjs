// Makes a clone ready to run, and does nothing where nothing is to be done:
// checks the tools, installs the dependencies, builds the native module and dist/.
//
//   node scripts/ensure.mjs                     everything
//   node scripts/ensure.mjs --dependencies      the dependencies only
//   node scripts/ensure.mjs --run FILE ARG...   everything, then the TypeScript program FILE
//
// It has no dependencies, and no syntax or import newer than Node 14.18: an old Node shall read far
// enough to say that it is too old.

import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { isatty } from 'node:tty'
import { fileURLToPath } from 'node:url'

const NODE = [20, 19]
const RUST = [1, 88]

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const at = (...parts) => path.join(root, ...parts)

const NATIVE = at('ts', 'bridge', 'native')
const DIST = at('dist')

/** The platform's native modules in a folder, `miolo.linux-x64-gnu.node` for one. */
const nativeModules = (folder) =>
  fs.existsSync(folder) ? fs.readdirSync(folder).filter((name) => name.endsWith('.node')) : []

/** What ends this program, with a message for whoever ran it. */
class Failure extends Error {}

/** Runs a command in the clone's root, its output shown. */
function run(what, command, args, options = {}) {
  process.stderr.write(`miolo: ${what}\n`)
  const { status, signal, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    ...options,
  })
  if (error) throw new Failure(`${what}: cannot run ${command}: ${error.message}`)
  if (signal) throw new Failure(`${what}: ended by ${signal}`)
  if (status !== 0) throw new Failure(`${what}: failed; what is wrong stands above.`)
}

const older = (version, minimum) => {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major < minimum[0] || (major === minimum[0] && minor < minimum[1])
}

function missingNode() {
  if (!older(process.versions.node, NODE)) return []
  return [`Node.js ${NODE.join('.')} or newer: this is ${process.version}.`]
}

function missingRust() {
  const needed = `Rust ${RUST.join('.')} or newer, with cargo, to build the native part`
  const install = 'Install it from https://rustup.rs and open a new shell.'
  const { stdout, stderr, status, error } = spawnSync('cargo', ['--version'], { encoding: 'utf8' })
  if (error) return [`${needed}: there is no cargo on the PATH. ${install}`]
  if (status !== 0) return [`${needed}: \`cargo --version\` fails.\n    ${String(stderr).trim()}`]
  const version = /^cargo (\d+\.\d+)/.exec(stdout)
  if (version && older(version[1], RUST)) {
    return [`${needed}: this is ${version[1]}. \`rustup update\` brings a newer one.`]
  }
  return []
}

/** What is installed is what package-lock.json says, package by package. */
function dependenciesAreFresh() {
  let installed
  try {
    installed = JSON.parse(
      fs.readFileSync(at('node_modules', '.package-lock.json'), 'utf8'),
    ).packages
  } catch {
    return false
  }
  const locked = JSON.parse(fs.readFileSync(at('package-lock.json'), 'utf8')).packages
  return Object.keys(locked).every((where) => {
    if (where === '') return true
    // Of the optional ones npm installs those made for this platform.
    if (!installed[where]) return locked[where].optional === true
    return (
      installed[where].version === locked[where].version &&
      installed[where].integrity === locked[where].integrity &&
      fs.existsSync(at(where, 'package.json'))
    )
  })
}

function installDependencies() {
  // The npm that runs this script, if one does; dev dependencies even where NODE_ENV says production.
  const npm = process.env.npm_execpath
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund']
  if (npm && npm.endsWith('.js'))
    run('installing the dependencies', process.execPath, [npm, ...args])
  else run('installing the dependencies', 'npm', args, { shell: process.platform === 'win32' })
}

function* filesUnder(place) {
  if (!fs.existsSync(place)) return
  if (fs.statSync(place).isFile()) {
    yield place
    return
  }
  for (const name of fs.readdirSync(place).sort()) yield* filesUnder(path.join(place, name))
}

/** A hash over the names and contents of files: it changes when a build would. */
function fingerprint(places, keep, ...more) {
  const hash = createHash('sha256').update(JSON.stringify(more))
  for (const place of places) {
    for (const file of filesUnder(at(place))) {
      const name = path.relative(root, file).split(path.sep).join('/')
      if (keep(name)) hash.update(`\0${name}\0`).update(fs.readFileSync(file))
    }
  }
  return hash.digest('hex')
}

/** The fingerprint that a folder was built from; a folder without one was not finished. */
const builtFrom = (folder) => {
  try {
    return fs.readFileSync(path.join(folder, '.built-from'), 'utf8')
  } catch {
    return null
  }
}
const setBuiltFrom = (folder, print) => fs.writeFileSync(path.join(folder, '.built-from'), print)

const packageJson = () => JSON.parse(fs.readFileSync(at('package.json'), 'utf8'))

function nativeFingerprint() {
  const { version, napi } = packageJson()
  return fingerprint(
    [
      'Cargo.toml',
      'Cargo.lock',
      'crates/miolo',
      'crates/bridge',
      'crates/server',
      'crates/node',
      'scripts/ensure.mjs',
    ],
    (name) => !/^crates\/[^/]+\/(tests|benches|examples|target)\//.test(name),
    [version, napi, process.platform, process.arch],
  )
}

const nativeIsFresh = (print) =>
  builtFrom(NATIVE) === print &&
  nativeModules(NATIVE).length > 0 &&
  fs.existsSync(path.join(NATIVE, 'binding.js'))

function buildNative(print) {
  fs.rmSync(NATIVE, { recursive: true, force: true })
  fs.mkdirSync(NATIVE, { recursive: true })
  run('building the native module (the first time takes a minute or two)', process.execPath, [
    at('node_modules', '@napi-rs', 'cli', 'dist', 'cli.js'),
    ...['build', '--platform', '--release', '--esm'],
    ...['--manifest-path', 'crates/node/Cargo.toml', '--features', 'testing'],
    ...['--output-dir', path.relative(root, NATIVE), '--js', 'binding.js', '--dts', 'binding.d.ts'],
  ])
  setBuiltFrom(NATIVE, print)
}

const distFingerprint = () =>
  fingerprint(
    ['ts', 'tsconfig.json', 'tsconfig.build.json', 'scripts/ensure.mjs'],
    (name) => !name.endsWith('.node'),
    packageJson().devDependencies,
  )

const distIsFresh = (print) =>
  builtFrom(DIST) === print &&
  fs.existsSync(path.join(DIST, 'index.js')) &&
  nativeModules(path.join(DIST, 'bridge', 'native')).length > 0

function buildDist(print) {
  // Built beside dist/ and moved into its place: what runs meanwhile sees the old one or the new one.
  const next = at(`dist.${process.pid}`)
  const native = path.join(next, 'bridge', 'native')
  try {
    run('compiling ts/ to dist/', process.execPath, [
      at('node_modules', 'typescript-7', 'bin', 'tsc'),
      ...['-p', 'tsconfig.build.json', '--outDir', next],
    ])
    fs.mkdirSync(native, { recursive: true })
    for (const name of ['binding.js', ...nativeModules(NATIVE)]) {
      fs.copyFileSync(path.join(NATIVE, name), path.join(native, name))
    }
    setBuiltFrom(next, print)
    fs.rmSync(DIST, { recursive: true, force: true })
    fs.renameSync(next, DIST)
  } finally {
    fs.rmSync(next, { recursive: true, force: true })
  }
}

function ensure({ dependenciesOnly, needsRust }) {
  const native = dependenciesOnly ? null : nativeFingerprint()
  const needsNative = !dependenciesOnly && !nativeIsFresh(native)
  const missing = [...missingNode(), ...(needsNative || needsRust ? missingRust() : [])]
  if (missing.length > 0) {
    throw new Failure(
      ['miolo cannot be built here. It needs', ...missing.map((what) => `  • ${what}`)].join('\n'),
    )
  }

  if (!dependenciesAreFresh()) installDependencies()
  if (dependenciesOnly) return
  if (needsNative) buildNative(native)
  const dist = distFingerprint()
  if (!distIsFresh(dist)) buildDist(dist)
}

/** Runs a TypeScript program as if it had been started itself: its terminal, its signals, its exit code. */
function runProgram(file, args) {
  // DEP0205: how the register hook of @oxc-node/core gets in; newer Nodes would like it otherwise.
  const options = ['--disable-warning=DEP0205', '--import', '@oxc-node/core/register']
  const child = spawn(process.execPath, [...options, file, ...args], {
    cwd: root,
    stdio: 'inherit',
  })
  // A terminal sends Ctrl-C to the program as well, so passing it on would make it two.
  const onTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor))
  const passOn = (signal) => {
    if (signal !== 'SIGINT' || !onTerminal) child.kill(signal)
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, passOn)
  child.on('error', (error) => {
    process.stderr.write(`cannot run ${process.execPath}: ${error.message}\n`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    for (const each of signals) process.removeListener(each, passOn)
    if (signal) process.kill(process.pid, signal)
    else process.exitCode = code
  })
}

const [mode, file, ...args] = process.argv.slice(2)
try {
  // What runs a program that has been built needs no Rust; what tests and lints does.
  ensure({ dependenciesOnly: mode === '--dependencies', needsRust: mode !== '--run' })
  if (mode === '--run') runProgram(file, args)
} catch (error) {
  if (!(error instanceof Failure)) throw error
  process.stderr.write(`\n${error.message}\n\n`)
  process.exitCode = 1
}
