import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { constants } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const living = new Set<ChildProcess>()

function killAll(): void {
  for (const child of living) child.kill('SIGKILL')
}

process.on('exit', killAll)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  // Exiting runs killAll.
  process.on(signal, () => process.exit(128 + constants.signals[signal]))
}

export interface Command {
  file: string
  args: string[]
  /** What it writes to stderr is only told when it fails. Default: it is shown. */
  quiet?: boolean
}

let compiled: Promise<string> | undefined

/** A TypeScript program of bench/. */
export function program(name: string, ...args: string[]): Promise<Command> {
  return compiledProgram(join('bench', name), args)
}

/** A TypeScript program of examples/. */
export function example(name: string, ...args: string[]): Promise<Command> {
  return compiledProgram(join('examples', name), args)
}

/** A program by its place in the repository, compiled (see ../tsconfig.json). */
async function compiledProgram(name: string, args: string[]): Promise<Command> {
  compiled ??= run(
    {
      file: process.execPath,
      args: ['node_modules/typescript-7/bin/tsc', '-p', 'bench/tsconfig.json', '--noCheck'],
    },
    120_000,
  )
  await compiled
  return { file: process.execPath, args: [join(ROOT, 'target', 'bench', `${name}.js`), ...args] }
}

/** Why a program that is not ours cannot be run; null: it can. */
export function missing(file: string, debianPackage: string): string | null {
  const { error } = spawnSync(file, ['--version'], { stdio: 'ignore' })
  if (error === undefined) return null
  return `there is no ${file} here (Debian has it in ${debianPackage})`
}

function describe({ file, args }: Command): string {
  return [file, ...args].map((word) => word.replace(ROOT, '')).join(' ')
}

function start(command: Command, deadlineMs: number, stdin: 'ignore' | 'pipe' = 'ignore') {
  const child = spawn(command.file, command.args, {
    cwd: ROOT,
    stdio: [stdin, 'pipe', command.quiet === true ? 'pipe' : 'inherit'],
  })
  let told = ''
  child.stderr?.on('data', (chunk: Buffer) => (told += chunk.toString()))
  living.add(child)
  let late = false
  const deadline = setTimeout(() => {
    late = true
    child.kill('SIGKILL')
  }, deadlineMs)
  const ended = new Promise<string | null>((resolve) => {
    const end = (reason: string | null): void => {
      living.delete(child)
      clearTimeout(deadline)
      const failure = late ? `still ran after ${deadlineMs / 1000} s` : reason
      resolve(failure === null || told === '' ? failure : `${failure}\n${told.trimEnd()}`)
    }
    child.once('error', (error) => end(error.message))
    child.once('close', (code, signal) => {
      end(code === 0 ? null : signal === null ? `exit code ${code}` : `killed by ${signal}`)
    })
  })
  return { child, ended }
}

/** Runs a command to its end. What it prints comes back; a failure, or no end in time, throws. */
export async function run(command: Command, deadlineMs: number): Promise<string> {
  const { child, ended } = start(command, deadlineMs)
  const chunks: Buffer[] = []
  child.stdout!.on('data', (chunk: Buffer) => chunks.push(chunk))
  const failure = await ended
  if (failure !== null) throw new Error(`${describe(command)}: ${failure}`)
  return Buffer.concat(chunks).toString()
}

/** Runs a program whose last line is JSON. */
export async function result<T>(command: Command, deadlineMs: number): Promise<T> {
  const output = await run(command, deadlineMs)
  return JSON.parse(output.trimEnd().split('\n').at(-1)!) as T
}

export interface Server {
  address: string
  pid: number
  /** Has its garbage collected; of those that are told to by servers/collect.ts. */
  collect(): Promise<void>
  stop(): Promise<void>
}

/** A line that names an address: `listening on <address>` (or just the address). */
const LISTENING = /\b(\d+\.\d+\.\d+\.\d+:\d+)\b/

/** Starts a server, and waits until it says where it listens; `known`, until it says that it does. */
export async function serve(
  command: Command,
  deadlineMs: number,
  known?: { address: string; says: RegExp },
): Promise<Server> {
  const { child, ended } = start(command, deadlineMs)
  const said = listener(command, child, ended)
  const [, address] = await said(known?.says ?? LISTENING)
  return {
    address: known?.address ?? address!,
    pid: child.pid!,
    collect: async () => {
      const collected = said(/^collected$/)
      child.kill('SIGUSR2')
      await collected
    },
    stop: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** Starts a program that goes on until its stdin ends, and waits until it says `pattern`. */
export async function hold(
  command: Command,
  deadlineMs: number,
  pattern: RegExp,
): Promise<{
  /** Ends its stdin; its last line is JSON. */
  release<T>(): Promise<T>
}> {
  const { child, ended } = start(command, deadlineMs, 'pipe')
  const said = listener(command, child, ended)
  await said(pattern)
  return {
    release: async <T>() => {
      const result = said(/^\{.*\}$/)
      child.stdin!.end()
      const [line] = await result
      const failure = await ended
      if (failure !== null) throw new Error(`${describe(command)}: ${failure}`)
      return JSON.parse(line) as T
    },
  }
}

/** Waits for lines of a program's output. */
function listener(command: Command, child: ChildProcess, ended: Promise<string | null>) {
  const lines = createInterface(child.stdout!)
  return (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const look = (line: string): void => {
        const match = pattern.exec(line)
        if (match === null) return
        lines.off('line', look)
        resolve(match)
      }
      lines.on('line', look)
      void ended.then((failure) => {
        reject(new Error(`${describe(command)}: never said ${pattern}: ${failure ?? 'ended'}`))
      })
    })
}
