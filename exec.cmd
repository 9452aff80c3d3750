@rem npm runs scripts with cmd on Windows, which has no `exec`. A POSIX shell has, and Ctrl-C in
@rem `npm start` needs it: a shell that stayed in between would turn the clean end into SIGINT's.
@%*
