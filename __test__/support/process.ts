/** Programs of their own process, and workers, with a deadline. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker, type WorkerOptions } from 'node:worker_threads'

import { DEADLINE_MS, within } from './deadline.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const FIXTURES = new URL('../fixtures/', import.meta.url)
/** What lets Node run TypeScript. */
const TYPESCRIPT = ['--disable-warning=DEP0205', '--import', '@oxc-node/core/register']

/** How a process has ended, and what it has said. */
export interface Outcome {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface RunOptions {
  args?: string[]
  nodeArgs?: string[]
  env?: Record<string, string>
  deadlineMs?: number
  /** Called with what comes on stdout, and the process, to answer to it. */
  onStdout?(text: string, child: ChildProcess): void
}

/**
 * Runs a program of `__test__/fixtures` to its end. One that does not end in time is killed, and that is an error
 * with all that it has said.
 */
export function runFixture(name: string, options: RunOptions = {}): Promise<Outcome> {
  const file = fileURLToPath(new URL(name, FIXTURES))
  return runNode(
    [...TYPESCRIPT, ...(options.nodeArgs ?? []), file, ...(options.args ?? [])],
    options,
  )
}

/** Runs a few lines of JavaScript, as a module that can import `miolo`, to their end. As {@link runFixture}. */
export function runCode(source: string, options: RunOptions = {}): Promise<Outcome> {
  const args = ['--input-type=module', '--eval', source, ...(options.args ?? [])]
  return runNode([...(options.nodeArgs ?? []), ...args], options)
}

async function runNode(args: string[], options: RunOptions): Promise<Outcome> {
  const { env, deadlineMs = DEADLINE_MS, onStdout } = options
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const said = { stdout: '', stderr: '' }
  child.stdin.on('error', () => {})
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.stdout += text
    onStdout?.(text, child)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.stderr += text
  })
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  try {
    const [code, signal] = await within('the process', () => closed, deadlineMs)
    return { code, signal, ...said }
  } catch (error) {
    child.kill('SIGKILL')
    await closed.catch(() => {})
    throw new Error(`${String(error)}\n${said.stdout}\n${said.stderr}`, { cause: error })
  }
}

/** A worker that is terminated with its test at the latest: hand it to `keep`. */
export class TestWorker {
  readonly worker: Worker
  readonly #exited: Promise<number>
  readonly #messages: unknown[] = []
  #error: Error | undefined
  #isOver = false
  #changed = () => {}

  /** Runs a program of `__test__/fixtures`. */
  static fixture(name: string, options: WorkerOptions = {}): TestWorker {
    return new TestWorker(new Worker(new URL(name, FIXTURES), options))
  }

  /** Runs a few lines of JavaScript, a CommonJS script with `require`. */
  static code(source: string, options: WorkerOptions = {}): TestWorker {
    return new TestWorker(new Worker(source, { ...options, eval: true }))
  }

  private constructor(worker: Worker) {
    this.worker = worker
    worker.on('message', (message) => {
      this.#messages.push(message)
      this.#changed()
    })
    worker.on('error', (error) => {
      this.#error = new Error(`the worker has thrown: ${error.message}`, { cause: error })
    })
    this.#exited = new Promise((resolve) => {
      worker.on('exit', (code) => {
        this.#isOver = true
        this.#changed()
        resolve(code)
      })
    })
  }

  /** The next message that it posts. An error if it ends without one. */
  message<T = unknown>(): Promise<T> {
    return within('the message of a worker', async () => {
      while (this.#messages.length === 0) {
        if (this.#isOver) throw this.#error ?? new Error('the worker has ended')
        await new Promise<void>((resolve) => {
          this.#changed = resolve
        })
      }
      return this.#messages.shift() as T
    })
  }

  /** Its exit code, once it has ended by itself. An error if it has thrown one. */
  async exit(): Promise<number> {
    const code = await within('the end of a worker', () => this.#exited)
    if (this.#error !== undefined) throw this.#error
    return code
  }

  close(): Promise<number> {
    return this.worker.terminate()
  }
}
