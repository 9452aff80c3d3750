/** Has garbage collected when whoever measures the memory says so, if there is `--expose-gc`. */
export function collectOnSignal(): void {
  const { gc } = globalThis
  if (gc === undefined) return
  process.on('SIGUSR2', () => {
    gc()
    // What is released by that is freed in the turns that follow.
    setTimeout(() => {
      gc()
      console.log('collected')
    }, 50)
  })
}
