#!/bin/sh
# Starts the fake AWS CLI. Each test links its `aws` to this file: a test that wrote an executable file itself could not
# always start it, because a process that another thread is just starting can still have it open for writing.
exec "$FAKE_NODE" "$FAKE_CLI" "$@"
