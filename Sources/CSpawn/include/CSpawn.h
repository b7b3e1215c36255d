#pragma once
#include <sys/types.h>
// Starts a program with `input` as its file descriptor 0 and `output` as 1 and 2; everything else is closed.
// The child gets `parent_death_signal` when we die, so that no kill of the supervisor leaves orphans.
// Swift may not fork, and posix_spawn cannot ask for that signal. Returns the process id, or -errno.
pid_t muster_spawn(const char *path, char *const argv[], char *const envp[], int input, int output,
                   int parent_death_signal);
