//! Credentials of a role that a profile names (`role_arn`), from AWS's token service.

use reqsign_aws_core as aws;
use reqsign_aws_v4::RequestSigner;
use reqsign_core::{Context, Error, ProvideCredential, ProvideCredentialDyn, Result, Signer};

use crate::environment::Environment;
use crate::profile::{Profile, Role};

/// Takes the profile's role on, with the identity that the profile says: another profile (which may
/// name a role itself), the environment, the instance, the container, or a token in a file.
#[derive(Debug)]
pub(crate) struct RoleOfProfile {
    pub environment: Environment,
    /// `None` for `AWS_PROFILE` or `default`.
    pub profile: Option<String>,
    /// How many roles stand between this one and the one that is wanted.
    pub depth: usize,
}

/// Profiles that name each other in a circle end here.
const DEPTH_MAX: usize = 5;

impl ProvideCredential for RoleOfProfile {
    type Credential = aws::Credential;

    async fn provide_credential(&self, context: &Context) -> Result<Option<aws::Credential>> {
        let profile = Profile::read(&self.environment, self.profile.as_deref()).await;
        let profile = profile.map_err(|error| Error::config_invalid(error.to_string()))?;
        let Some(role) = profile.role else { return Ok(None) };
        let variable = |name: &str| self.environment.get(name).map(str::to_owned);
        let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        let region = region.or(profile.region).unwrap_or_else(|| "us-east-1".to_owned());
        if let Some(token_file) = &role.token_file {
            let arn = role.arn.clone();
            return aws::AssumeRoleWithWebIdentityCredentialProvider::with_config(
                arn,
                token_file.into(),
            )
            .with_region(region)
            .with_regional_sts_endpoint()
            .provide_credential_dyn(context)
            .await;
        }
        let signing = RequestSigner::new("sts", &region);
        let signer = Signer::new(context.clone(), Taker(self.taker(&role)?), signing);
        self.assumption(role, signer, region).provide_credential(context).await
    }
}

impl RoleOfProfile {
    fn assumption(
        &self,
        role: Role,
        signer: Signer<aws::Credential>,
        region: String,
    ) -> aws::AssumeRoleCredentialProvider {
        let name = role.session_name.unwrap_or_else(|| "whimbrel".to_owned());
        let mut provider = aws::AssumeRoleCredentialProvider::new(role.arn, signer)
            .with_role_session_name(name)
            .with_region(region)
            .with_regional_sts_endpoint();
        if let Some(id) = role.external_id {
            provider = provider.with_external_id(id);
        }
        if let Some(seconds) = role.duration_seconds {
            provider = provider.with_duration_seconds(seconds);
        }
        provider
    }

    /// Whose credentials ask for the role.
    fn taker(&self, role: &Role) -> Result<Vec<Box<Provider>>> {
        if let Some(source) = &role.source_profile {
            let keys = aws::ProfileCredentialProvider::new().with_profile(source);
            // A profile may name itself: then its own keys ask.
            if self.profile.as_deref() == Some(source) || self.depth == DEPTH_MAX {
                return Ok(vec![Box::new(keys)]);
            }
            let role = Self {
                environment: self.environment.clone(),
                profile: Some(source.clone()),
                depth: self.depth + 1,
            };
            let sso = aws::SSOCredentialProvider::new().with_profile(source);
            let process = aws::ProcessCredentialProvider::new().with_profile(source);
            let order: [Box<Provider>; 4] =
                [Box::new(role), Box::new(keys), Box::new(sso), Box::new(process)];
            return Ok(order.into());
        }
        match role.credential_source.as_deref() {
            Some("Environment") => Ok(vec![Box::new(aws::EnvCredentialProvider::new())]),
            Some("Ec2InstanceMetadata") => Ok(vec![Box::new(aws::IMDSv2CredentialProvider::new())]),
            Some("EcsContainer") => Ok(vec![Box::new(aws::ECSCredentialProvider::new())]),
            Some(_) | None => Err(Error::config_invalid(
                "role_arn needs source_profile, credential_source or web_identity_token_file",
            )),
        }
    }
}

type Provider = dyn ProvideCredentialDyn<Credential = aws::Credential>;

/// The first of some providers that has credentials.
#[derive(Debug)]
struct Taker(Vec<Box<Provider>>);

impl ProvideCredential for Taker {
    type Credential = aws::Credential;

    async fn provide_credential(&self, context: &Context) -> Result<Option<aws::Credential>> {
        for provider in &self.0 {
            if let Some(credential) = provider.provide_credential_dyn(context).await? {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }
}
