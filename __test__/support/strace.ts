/** Programs of which strace tells what they ask of the system, or which it lets fail. */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { ExecutionContext } from 'ava'

/** Whether strace is here, may trace, and injects. Where it is required, it fails the test that it does not. */
export function canTrace(t: ExecutionContext): boolean {
  const inject = ['-e', 'inject=getppid:error=EPERM']
  const { status } = spawnSync('strace', ['-qq', '-o', '/dev/null', ...inject, 'true'])
  const can = status === 0
  if (!can) t.log('no strace that works here: NOT TESTED')
  t.true(can || process.env.MIOLO_REQUIRE_STRACE !== '1', 'strace is required')
  return can
}

/** A command that has strace run the one that follows, with these arguments; and what it has written by now. */
export function strace(
  t: ExecutionContext,
  ...args: string[]
): { command: [string, ...string[]]; log(): string } {
  const directory = mkdtempSync(join(tmpdir(), 'miolo-strace-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const file = join(directory, 'log')
  return {
    command: ['strace', '-f', '-qq', '-o', file, ...args],
    log: () => readFileSync(file, 'utf8'),
  }
}

/** What to trace for {@link askedOfSockets}. */
export const SOCKET_CALLS = 'trace=listen,accept4,connect,setsockopt'

/** How many may wait at each listener, and what was set of either end of a program's one connection, in this order. */
export interface AskedOfSockets {
  backlogs: number[]
  accepted: string[]
  connected: string[]
}

/** What a log says that was asked of sockets. */
export function askedOfSockets(log: string): AskedOfSockets {
  const descriptor = (what: RegExp) => Number(what.exec(log)?.[1])
  const set = (socket: number) => {
    const calls = new RegExp(`setsockopt\\(${socket}, \\w+, (\\w+), [[{](.*?)[\\]}]`, 'g')
    return [...log.matchAll(calls)].map(([, option, value]) => `${option} ${value}`)
  }
  return {
    backlogs: [...log.matchAll(/listen\(\d+, (\d+)\)/g)].map(([, backlog]) => Number(backlog)),
    accepted: set(descriptor(/accept4.* = (\d+)$/m)),
    connected: set(descriptor(/connect\((\d+), \{sa_family=AF_INET,/)),
  }
}
