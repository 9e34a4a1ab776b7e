#!/bin/sh -e
# Starts the fake AWS CLI. Each test links its `aws` to this file, because a test could not always start an executable
# file that it has just written: a process that another thread is starting may still have the file open for writing.
exec "$FAKE_NODE" "$FAKE_CLI" "$@"
