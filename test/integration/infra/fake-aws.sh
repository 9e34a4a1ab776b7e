#!/bin/sh
# Starts the fake AWS CLI. Each test links its `aws` to this file, because a test could not always start an executable
# file that it has just written: a process that another thread is starting may still have the file open for writing.
executable file itself could not
# always start it, because a process that another thread is just starting can still have it open for writing.
exec "$FAKE_NODE" "$FAKE_CLI" "$@"
