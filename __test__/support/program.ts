/** Programs that go on until they are told to end, and are talked to meanwhile. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

import test from 'ava'

import { within } from './deadline.ts'
import type { Outcome } from './process.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** The command that runs a TypeScript program of this repository, as npm's scripts do. */
export function typescript(file: string, ...args: string[]): [command: string, ...args: string[]] {
  const loader = ['--disable-warning=DEP0205', '--import', '@oxc-node/core/register']
  return [process.execPath, ...loader, file, ...args]
}

/**
 * How to declare a test that talks to a program of others: it skips itself where that is missing, but not where a
 * variable says that it has to be there.
 */
export function needs(program: string): typeof test.serial | typeof test.serial.skip {
  const required = process.env.MIOLO_REQUIRE_CLIENTS === '1'
  return required || isInstalled(program) ? test.serial : test.serial.skip
}

/** Whether there is a program of this name. */
function isInstalled(program: string): boolean {
  return spawnSync(program, ['-h'], { stdio: 'ignore' }).error === undefined
}

export interface ProgramOptions {
  env?: Record<string, string>
}

/** A program with what it says. Hand it to `t.teardown(() => program.close())`. */
export class Program {
  readonly child: ChildProcess
  stdout = ''
  stderr = ''
  readonly #ended: Promise<[number | null, NodeJS.Signals | null]>
  #isOver = false
  #changed = () => {}

  constructor([command, ...args]: readonly [string, ...string[]], options: ProgramOptions = {}) {
    this.child = spawn(command, args, {
      cwd: ROOT,
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.child.stdin?.on('error', () => {})
    for (const stream of ['stdout', 'stderr'] as const) {
      this.child[stream]?.setEncoding('utf8').on('data', (text: string) => {
        this[stream] += text
        this.#changed()
      })
    }
    this.#ended = once(this.child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
    const over = () => {
      this.#isOver = true
      this.#changed()
    }
    this.#ended.then(over, over)
  }

  /** Waits until it has said something like this, on stdout or stderr. */
  async says(what: RegExp): Promise<RegExpExecArray> {
    return this.#orTell(String(what), async () => {
      for (;;) {
        const found = what.exec(this.stdout) ?? what.exec(this.stderr)
        if (found !== null) return found
        if (this.#isOver) throw new Error('it has ended')
        await new Promise<void>((resolve) => {
          this.#changed = resolve
        })
      }
    })
  }

  /** Waits for its end. */
  async ended(): Promise<Outcome> {
    const [code, signal] = await this.#orTell('its end', () => this.#ended)
    return { code, signal, stdout: this.stdout, stderr: this.stderr }
  }

  /** Asks it to end, and waits for that. */
  end(signal: NodeJS.Signals): Promise<Outcome> {
    this.child.kill(signal)
    return this.ended()
  }

  /** Ends it at once, if it has not ended yet. */
  async close(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.#ended.catch(() => {})
  }

  /** Within the deadline; an error has all that the program has said. */
  async #orTell<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await within(what, work)
    } catch (error) {
      throw new Error(`${String(error)}\n${this.stdout}\n${this.stderr}`, { cause: error })
    }
  }
}
