/** What a process holds that must not be left behind. Linux tells; elsewhere there is nothing to see. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'

const TASKS = '/proc/self/task'
const DESCRIPTORS = '/proc/self/fd'

/** The names of the loop threads that there are in this process. */
export function loopThreads(): string[] {
  if (!existsSync(TASKS)) return []
  return readdirSync(TASKS).flatMap((task) => {
    try {
      const name = readFileSync(`${TASKS}/${task}/comm`, 'latin1').trim()
      return name.startsWith('miolo-') ? [name] : []
    } catch {
      // It has ended since.
      return []
    }
  })
}

/** How many threads there are in this process. One that has just been joined may be among them for a moment. */
export function threads(): number {
  return existsSync(TASKS) ? readdirSync(TASKS).length : 0
}

/** How many descriptors are open in this process. */
export function descriptors(): number {
  return existsSync(DESCRIPTORS) ? readdirSync(DESCRIPTORS).length : 0
}
