import { join } from 'node:path'

import { type Command, run } from './child.ts'

/** A build from nothing, on a slow machine. */
const BUILD_DEADLINE_MS = 20 * 60_000

const built = new Map<string, Promise<string>>()

/** Builds with cargo, once, and returns the folder that the release build is in. */
function build(...args: string[]): Promise<string> {
  const key = args.join(' ')
  let folder = built.get(key)
  if (folder === undefined) {
    folder = (async () => {
      process.stderr.write(`cargo build --release ${key}\n`)
      await run(
        { file: 'cargo', args: ['build', '--quiet', '--release', ...args] },
        BUILD_DEADLINE_MS,
      )
      const metadata = await run(
        { file: 'cargo', args: ['metadata', '--format-version=1', '--no-deps'] },
        60_000,
      )
      const { target_directory: target } = JSON.parse(metadata) as { target_directory: string }
      return join(target, 'release')
    })()
    built.set(key, folder)
  }
  return folder
}

const EXE = process.platform === 'win32' ? '.exe' : ''

/** A program of crates/bench. */
export async function benchProgram(name: string, ...args: string[]): Promise<Command> {
  return { file: join(await build('-p', 'miolo-bench'), name + EXE), args }
}

/** An example of a crate of the workspace. */
export async function rustExample(
  crate: 'miolo' | 'miolo-server',
  name: string,
  ...args: string[]
): Promise<Command> {
  const folder = await build('-p', crate, '--example', name)
  return { file: join(folder, 'examples', name + EXE), args }
}
