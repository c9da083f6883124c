//! Node types of the host's own.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{Attempt, AttemptError, Executor, Outcome};
use crate::failure::{Failure, code};
use crate::node::NodeTypeInfo;

/// A node type with a side effect, written in Rust.
///
/// Validation, forms and docs follow from [`Config`](Node::Config)'s JSON Schema. Templates in the config are rendered
/// before it is read, so a field that may hold a template has the type of what comes out of it.
///
/// ```
/// use meshhook_core::exec::{Attempt, AttemptError, Node, Outcome};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Config {
///     text: String,
/// }
///
/// struct Shout;
///
/// #[async_trait::async_trait]
/// impl Node for Shout {
///     const KIND: &'static str = "shout";
///     type Config = Config;
///
///     async fn execute(&self, config: Config, _attempt: &Attempt) -> Result<Outcome, AttemptError> {
///         Ok(Outcome::out(config.text.to_uppercase().into()))
///     }
/// }
/// ```
#[async_trait]
pub trait Node: Send + Sync + 'static {
    /// Stable name of the node type. Stored in definitions: never change it.
    const KIND: &'static str;

    /// What a definition says about a node of this type.
    type Config: DeserializeOwned + JsonSchema + Send;

    /// What the node type is for, in a sentence.
    #[must_use]
    fn description() -> &'static str {
        ""
    }

    /// The ports by which a step can be left, besides `error`.
    #[must_use]
    fn ports() -> &'static [&'static str] {
        &["out"]
    }

    /// The top-level members of the config that may hold secrets.
    #[must_use]
    fn secret_fields() -> &'static [&'static str] {
        &[]
    }

    /// Performs one attempt: see [`Executor::execute`].
    ///
    /// # Errors
    ///
    /// A [`Failure`] that says whether another attempt may succeed.
    async fn execute(&self, config: Self::Config, attempt: &Attempt) -> Result<Outcome, AttemptError>;

    /// What the engine knows of the node type.
    #[must_use]
    fn info() -> NodeTypeInfo {
        let schema = schemars::schema_for!(Self::Config).to_value();
        let ports = Self::ports().iter().copied().chain(["error"]);
        NodeTypeInfo::effect(Self::KIND)
            .titled(Self::KIND, Self::description())
            .config_schema(schema)
            .ports(ports)
            .secret_fields(Self::secret_fields().iter().copied())
    }
}

/// Reads a rendered config and hands it to a [`Node`].
#[derive(Debug)]
pub(crate) struct NodeExecutor<N> {
    node: Arc<N>,
}

impl<N: Node> NodeExecutor<N> {
    pub(crate) fn new(node: N) -> Self {
        Self { node: Arc::new(node) }
    }
}

#[async_trait]
impl<N: Node> Executor for NodeExecutor<N> {
    async fn execute(&self, attempt: Attempt) -> Result<Outcome, AttemptError> {
        let config = serde_json::from_value(attempt.config.clone()).map_err(|error| {
            let message = attempt.masker.mask_str(&error.to_string()).into_owned();
            Failure::permanent(code::INVALID_CONFIG, message)
        })?;
        self.node.execute(config, &attempt).await
    }
}
