import { parseArgs } from 'node:util'

/** What was asked for on the command line. */
export interface Options {
  /** Fewer and shorter rounds, nothing judged: shows that the benches work, as CI does. */
  short: boolean
  rounds: number
  /** Run the benches whose name contains one of these; empty: all. */
  only: string[]
  /** Where the JSON goes. */
  json: string | null
  /** Where the chart goes. */
  svg: string | null
  /** The JSON of an earlier run, to be shown instead of measuring. */
  from: string | null
  /** Print the names of the benches and do nothing. */
  list: boolean
}

export const USAGE = `usage: npm run bench -- [--only NAME]... [--rounds N] [--short] [--json FILE] [--svg FILE] [--list]
       npm run bench -- --from JSON_FILE [--svg FILE]`

export function parseOptions(argv: string[]): Options {
  const { values } = parseArgs({
    args: argv,
    options: {
      short: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      json: { type: 'string' },
      svg: { type: 'string' },
      from: { type: 'string' },
      list: { type: 'boolean', default: false },
    },
  })
  const rounds = values.rounds === undefined ? (values.short ? 2 : 5) : Number(values.rounds)
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new TypeError('--rounds takes a whole number, at least 1')
  }
  return {
    short: values.short,
    rounds,
    only: values.only,
    json: values.json ?? null,
    svg: values.svg ?? null,
    from: values.from ?? null,
    list: values.list,
  }
}
