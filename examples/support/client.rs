//! For the tests of the examples: a server at one end of a pipe in memory, the SDK's client at the
//! other.

use rmcp::{
    RoleClient, ServerHandler, ServiceExt as _,
    model::{CallToolRequestParams, CallToolResult, ErrorData, Tool},
    service::{RunningService, ServiceError},
};
use serde_json::Value;

/// Bytes on the way in each direction before a writer waits.
const PIPE: usize = 1 << 16;

/// A client whose server ends with it.
#[derive(Debug)]
pub(crate) struct Client {
    client: RunningService<RoleClient, ()>,
    _server: tokio::task::JoinSet<()>,
}

impl Client {
    /// Connects, handshake included.
    pub(crate) async fn to<S: ServerHandler>(server: S) -> Self {
        let (near, far) = tokio::io::duplex(PIPE);
        let mut running = tokio::task::JoinSet::new();
        running.spawn(async move {
            let server = server.serve(far).await.expect("the handshake succeeds");
            server.waiting().await.expect("the server does not panic");
        });
        let client = ().serve(near).await.expect("the handshake succeeds");
        Self {
            client,
            _server: running,
        }
    }

    /// The server's only tool.
    pub(crate) async fn tool(&self) -> Tool {
        let mut tools = self
            .client
            .list_all_tools()
            .await
            .expect("tools are listed");
        assert_eq!(tools.len(), 1);
        tools.remove(0)
    }

    /// Calls that tool, and checks what it returns against what it declares.
    pub(crate) async fn call(&self, arguments: Value) -> CallToolResult {
        let result = self.send(arguments).await.expect("the call succeeds");
        let declared = self
            .tool()
            .await
            .output_schema
            .expect("declares its output");
        let declared = Value::Object(declared.as_ref().clone());
        let structured = result.structured_content.as_ref().expect("is structured");
        jsonschema::validate(&declared, structured).expect("keeps to its declaration");
        result
    }

    /// Calls that tool with arguments that it must refuse.
    pub(crate) async fn refusal(&self, arguments: Value) -> ErrorData {
        match self.send(arguments.clone()).await {
            Err(ServiceError::McpError(refusal)) => refusal,
            other => panic!("{arguments} was answered with {other:?}"),
        }
    }

    async fn send(&self, arguments: Value) -> Result<CallToolResult, ServiceError> {
        let Value::Object(arguments) = arguments else {
            panic!("arguments are an object")
        };
        let name = self.tool().await.name;
        let call = CallToolRequestParams::new(name).with_arguments(arguments);
        self.client.call_tool(call).await
    }
}
