import { type ChildProcess, spawn } from 'node:child_process'
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
}

let compiled: Promise<string> | undefined

/** A TypeScript program of bench/, compiled (see ../tsconfig.json). */
export async function program(name: string, ...args: string[]): Promise<Command> {
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

function describe({ file, args }: Command): string {
  return [file, ...args].map((word) => word.replace(ROOT, '')).join(' ')
}

function start(command: Command, deadlineMs: number) {
  const child = spawn(command.file, command.args, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
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
      resolve(late ? `still ran after ${deadlineMs / 1000} s` : reason)
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
  stop(): Promise<void>
}

/** Starts a server, and waits until it says `listening on <address>` (or just names an address). */
export async function serve(command: Command, deadlineMs: number): Promise<Server> {
  const { child, ended } = start(command, deadlineMs)
  const lines = createInterface(child.stdout!)
  const address = await new Promise<string>((resolve, reject) => {
    lines.on('line', (line) => {
      const match = /\b(\d+\.\d+\.\d+\.\d+:\d+)\b/.exec(line)
      if (match !== null) resolve(match[1]!)
    })
    void ended.then((failure) => {
      reject(new Error(`${describe(command)}: did not listen: ${failure ?? 'ended'}`))
    })
  })
  return {
    address,
    pid: child.pid!,
    stop: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}
