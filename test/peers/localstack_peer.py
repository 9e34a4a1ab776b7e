"""Runs LocalStack as a process of this machine, without Docker and without downloads.

LocalStack runs functions in Docker containers, and downloads DynamoDB Local and Java. This program uses Lambda's
runtime emulator and DynamoDB Local from Maven instead. It also keeps stack policies, and mends three faults.
"""

import functools
import os
import subprocess
import sys
import tempfile
from types import ModuleType

import requests
from localstack import config
from localstack.aws.api import handler
from localstack.aws.api.cloudformation import GetStackPolicyOutput
from localstack.services.cloudformation.engine.v2.change_set_model_preproc import (
    ChangeSetModelPreproc,
    DeletionPolicy,
    PreprocResource,
)
from localstack.services.cloudformation.v2.provider import (
    CloudformationProviderV2,
    find_stack_v2,
    get_cloudformation_store,
)
from localstack.services.dynamodb.resource_providers.aws_dynamodb_globaltable import (
    REPEATED_INVOCATION,
    DynamoDBGlobalTableProvider,
)
from localstack.services.dynamodb.server import DynamodbServer
from localstack.services.lambda_.invocation import runtime_executor
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.utils.net import get_free_tcp_port, wait_for_port_open
from localstack.utils.threads import FuncThread
from twisted.internet import endpoints

DYNAMODB_LOCAL = os.environ["KEYFOLD_DYNAMODB_LOCAL"]
EMULATOR = os.environ["KEYFOLD_LAMBDA_EMULATOR"]
NODE_AND_CLIENT = os.environ["KEYFOLD_NODE"], os.environ["KEYFOLD_LAMBDA_CLIENT"]


class EmulatorExecutor(runtime_executor.RuntimeExecutor):
    """Runs a function under Lambda's runtime emulator."""

    def start(self, env_vars):
        function = self.function_version.config
        folder = function.code.get_unzipped_code_location()
        self.port = get_free_tcp_port()
        self.log = tempfile.TemporaryFile(dir=config.dirs.tmp)
        # A function sees only the variables that Lambda gives it.
        env = {name: str(value) for name, value in env_vars.items()}
        env |= {"PATH": "/usr/bin:/bin", "LAMBDA_TASK_ROOT": str(folder)}
        addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{self.port}"]
        addresses += ["--runtime-api-address", f"127.0.0.1:{get_free_tcp_port()}"]
        command = [EMULATOR, *addresses, "--log-level", "error", *NODE_AND_CLIENT, function.handler]
        self.process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT
        )
        wait_for_port_open(self.port, retries=100, sleep_time=0.1)

    def stop(self):
        # SIGTERM gives the emulator time to stop the function's process.
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def get_address(self):
        return "127.0.0.1"

    def get_endpoint_from_executor(self):
        return "127.0.0.1"

    def get_runtime_endpoint(self):
        return ""

    def invoke(self, payload):
        before = os.fstat(self.log.fileno()).st_size
        url = f"http://127.0.0.1:{self.port}/2015-03-31/functions/function/invocations"
        answer = requests.post(url, data=payload["payload"].encode())
        told = answer.json() if answer.content else None
        is_error = isinstance(told, dict) and {"errorType", "errorMessage"} <= told.keys()
        logs = os.pread(self.log.fileno(), 10_000_000, before).decode(errors="replace")
        return InvocationResult(payload["invoke-id"], answer.content, is_error, logs)

    def get_logs(self):
        return os.pread(self.log.fileno(), 10_000_000, 0).decode(errors="replace")

    @classmethod
    def prepare_version(cls, function_version):
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version):
        """Keeps the code, because another version may have the same."""


def start_dynamodb(server):
    """Starts DynamoDB Local from its jars."""
    main = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner"
    command = ["java", f"-Djava.library.path={DYNAMODB_LOCAL}", "-cp", f"{DYNAMODB_LOCAL}/*", main]
    command += ["-inMemory", "-disableTelemetry", "-port", str(server.port)]
    # DynamoDB Local stays in this program's process group, so that both end together.
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    thread = FuncThread(lambda _: process.wait(), name="dynamodb-local")
    thread.start()
    return thread


def stack_of(context, name):
    return find_stack_v2(get_cloudformation_store(context.account_id, context.region), name)


@handler("SetStackPolicy")
def set_stack_policy(self, context, stack_name, stack_policy_body=None, **_others):
    """Keeps a stack policy. LocalStack does not have the operation, and nothing here enforces the policy."""
    stack_of(context, stack_name).keyfold_policy = stack_policy_body


@handler("GetStackPolicy")
def get_stack_policy(self, context, stack_name, **_others):
    return GetStackPolicyOutput(StackPolicyBody=stack_of(context, stack_name).keyfold_policy)


def visit_node_parameter(self, node, visit=ChangeSetModelPreproc.visit_node_parameter):
    """Makes a list of a parameter's former value too. LocalStack does so only with the new value."""
    delta = visit(self, node)
    kind = self.visit(node.type_)
    # While a stack is being deleted, a parameter has no new value.
    if isinstance(delta.before, str) and "CommaDelimitedList" in (kind.before, kind.after):
        delta.before = [item.strip() for item in delta.before.split(",")]
    return delta


def resource(self, *args, init=PreprocResource.__init__, **named):
    """Keeps a resource whose policy is RetainExceptOnCreate. LocalStack would delete it with its stack."""
    init(self, *args, **named)
    if self.deletion_policy == DeletionPolicy.RetainExceptOnCreate:
        self.deletion_policy = DeletionPolicy.Retain


def create_global_table(self, request, create=DynamoDBGlobalTableProvider.create):
    """Makes the replicas one by one. With each replica, LocalStack asks for the earlier ones again and fails."""
    model = request.desired_state
    replicas = model["Replicas"]
    model["Replicas"] = []
    is_first_call = REPEATED_INVOCATION not in request.custom_context
    event = create(self, request)
    model["Replicas"] = replicas
    for region in (replica["Region"] for replica in replicas if is_first_call):
        if region != request.region_name:
            updates = [{"Create": {"RegionName": region}}]
            request.aws_client_factory.dynamodb.update_table(TableName=model["TableName"], ReplicaUpdates=updates)
    return event


CloudformationProviderV2.set_stack_policy = set_stack_policy
CloudformationProviderV2.get_stack_policy = get_stack_policy
ChangeSetModelPreproc.visit_node_parameter = visit_node_parameter
PreprocResource.__init__ = resource
DynamoDBGlobalTableProvider.create = create_global_table
DynamodbServer.do_start_thread = start_dynamodb
# LocalStack needs this module, and Java, only for state machines with JSONata.
sys.modules["jpype"] = sys.modules["jpype.imports"] = ModuleType("jpype")
# Replace the executor and the endpoint before LocalStack imports the modules that use them. Otherwise LocalStack's
# server would listen on every address.
runtime_executor.get_runtime_executor = lambda: EmulatorExecutor
endpoints.TCP4ServerEndpoint = functools.partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")

if __name__ == "__main__":
    from localstack.runtime.main import main

    main()
