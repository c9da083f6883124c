//! Trying an expression or a template on a sample.

use serde_json::Value;

use super::Project;
use crate::definition::regex_uses_within;
use crate::expr::{
    Env, ExprError, ExprErrorKind, Expression, Template, TemplateError, TemplateErrorKind, TemplateOptions,
    View,
};

impl Project {
    /// Evaluates an expression over a sample of the root object. Secrets are never resolved.
    ///
    /// # Errors
    ///
    /// What the expression fails with.
    pub fn preview_expression(&self, expression: &str, sample: &Value) -> Result<Value, ExprError> {
        let expression = Expression::parse(expression, &self.inner.registry.limits().expr)?;
        expression.evaluate(&View::from(sample), &Env::new(self.inner.time.now(), PREVIEW_SEED))
    }

    /// Renders a template over a sample of the root object. Secrets are never resolved.
    ///
    /// # Errors
    ///
    /// What the template fails with.
    pub fn preview_template(&self, template: &Value, sample: &Value) -> Result<Value, TemplateError> {
        let limits = self.inner.registry.limits();
        if regex_uses_within(template) > limits.max_patterns {
            let message = format!("at most {} regular expressions in a template", limits.max_patterns);
            let kind =
                TemplateErrorKind::Expression(ExprError::new(ExprErrorKind::BudgetExceeded, 0, message));
            return Err(TemplateError { path: String::new(), position: 0, kind });
        }
        let options = TemplateOptions { limits: limits.expr.clone(), ..TemplateOptions::default() };
        let template = Template::parse(template, &options).map_err(|mut errors| errors.remove(0))?;
        template.render(&View::from(sample), &Env::new(self.inner.time.now(), PREVIEW_SEED))
    }
}

/// What `uuid()` starts from in previews.
const PREVIEW_SEED: &[u8] = b"preview";
