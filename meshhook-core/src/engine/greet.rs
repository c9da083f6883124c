//! Handshakes: a provider asks whether the hook is there, and is answered.

use super::EngineError;
use super::hook::LiveHook;
use super::refusal::HookRefusal;
use super::vault::Unsealed;
use crate::secret::{SecretName, SecretValue};
use crate::webhook::{
    HandshakeAnswer, HandshakeRule, RawRequest, Refusal, Refused, Trust, Verdict, Verified, VerifyConfig,
};

impl LiveHook {
    /// All handshakes of the hook by a scheme: that of its config, and those of the scheme.
    pub(super) fn handshakes<'a>(
        &'a self,
        verify: &'a VerifyConfig,
    ) -> impl Iterator<Item = &'a HandshakeRule> {
        let configured = self.trigger().1.handshake.iter().flat_map(|handshake| &handshake.rules);
        configured.chain(verify.handshakes())
    }

    /// The answer to a handshake that its provider does not sign.
    pub(super) async fn greet(
        &self,
        verify: &VerifyConfig,
        request: &RawRequest<'_>,
    ) -> Result<Option<HandshakeAnswer>, HookRefusal> {
        let is_meant = |rule: &&HandshakeRule| rule.trust != Trust::Signature && rule.is_meant_by(request);
        let Some(rule) = self.handshakes(verify).find(is_meant) else { return Ok(None) };
        let name = self.trigger().1.handshake.as_ref().and_then(|handshake| handshake.secret.as_ref());
        let secrets = match name {
            Some(_) => Some(self.inner.unsealed(&self.project).await?),
            None => None,
        };
        let named = name.zip(secrets.as_ref());
        if let Some((name, _)) = named.filter(|(name, secrets)| secrets.is_unopened(name.as_str())) {
            return Err(EngineError::SecretUnopened { name: name.to_string() }.into());
        }
        let secret = named.map(|(name, secrets)| secrets.get(name.as_str()));
        let answer = match secret {
            Some(None) => {
                let name = name.map(ToString::to_string).unwrap_or_default();
                let detail = format!("the handshake's secret `{name}` has no value in the vault");
                Err(Refused::new(Refusal::NeedsSecret, detail))
            }
            secret => rule.answer(request, secret.flatten()),
        };
        answer.map(Some).map_err(HookRefusal::Unauthorized)
    }

    /// The answer to a handshake that came with a valid signature.
    pub(super) async fn greet_signed(
        &self,
        verify: &VerifyConfig,
        request: &RawRequest<'_>,
        verified: &Verified,
    ) -> Result<Option<HandshakeAnswer>, HookRefusal> {
        let is_meant = |rule: &&HandshakeRule| rule.trust == Trust::Signature && rule.is_meant_by(request);
        let Some(rule) = self.handshakes(verify).find(is_meant) else { return Ok(None) };
        let matched = verified.key_index.and_then(|index| verify.secret_names().get(index));
        let answer = match matched {
            Some(name) => {
                let secrets = self.inner.unsealed(&self.project).await?;
                rule.answer(request, secrets.get(name.as_str()))
            }
            None => rule.answer(request, None),
        };
        answer.map(Some).map_err(HookRefusal::Unauthorized)
    }

    /// Whether a handshake gives the MAC of this body away under a key: then it is nobody's delivery.
    pub(super) fn could_be_asked_for(&self, body: &[u8], key: &SecretValue, secrets: &Unsealed) -> bool {
        let Some(handshake) = &self.trigger().1.handshake else { return false };
        let secret = handshake.secret.as_ref().and_then(|name| secrets.get(name.as_str()));
        secret.is_some_and(|secret| secret.expose() == key.expose())
            && handshake.rules.iter().any(|rule| rule.answers_mac_of(body))
    }

    /// Tells the hook's owner the key that a provider made for it, as long as the hook has none: the provider shows it
    /// nowhere else, and what anybody sends once there is a key is no news. Strangers can send some, too, so that the log
    /// gets one a minute at most.
    pub(super) async fn tell_key(&self, key: &str) -> Result<(), HookRefusal> {
        let secrets = self.inner.unsealed(&self.project).await?;
        let names = self.trigger().1.verify.secret_names();
        let has_none =
            |name: &SecretName| secrets.get(name.as_str()).is_none() && !secrets.is_unopened(name.as_str());
        let told = || (self.project.clone(), self.path.clone(), Verdict::Handshake);
        if !names.is_empty() && names.iter().all(has_none) && self.inner.refusals.is_first(told()) {
            let (project_id, path) = (&self.project, &self.path);
            tracing::info!(%project_id, path, key, "a provider made a key for this hook: confirm it there and set it as its secret");
        }
        Ok(())
    }
}
