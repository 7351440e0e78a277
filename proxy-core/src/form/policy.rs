//! [`PolicyForm`].

use serde::{Deserialize, Serialize};

use crate::policy::{
    Action, Authorization, Clause, IpBlock, Match, PolicyKey, Rule, Scope, ServiceAccountMatch, StringMatch,
    full_length,
};

/// A policy as upstream writes it: rules of clauses of matches, as lists in lists in lists.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct PolicyForm {
    pub name: String,
    pub namespace: String,
    pub scope: ScopeForm,
    pub action: ActionForm,
    #[serde(default)]
    pub rules: Vec<Vec<Vec<MatchForm>>>,
    #[serde(default)]
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[allow(missing_docs, reason = "upstream's names")]
pub enum ScopeForm {
    Global,
    Namespace,
    WorkloadSelector,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[allow(missing_docs, reason = "upstream's names")]
pub enum ActionForm {
    Allow,
    Deny,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct MatchForm {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<StringForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_namespaces: Vec<StringForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_accounts: Vec<AccountForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_service_accounts: Vec<AccountForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub principals: Vec<StringForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_principals: Vec<StringForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_ips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_source_ips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destination_ips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_destination_ips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destination_ports: Vec<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_destination_ports: Vec<u16>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct AccountForm {
    pub namespace: String,
    pub service_account: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[allow(missing_docs, reason = "upstream's names")]
pub enum StringForm {
    Prefix(String),
    Suffix(String),
    Exact(String),
    /// Written with an empty list.
    Presence(),
}

impl PolicyForm {
    /// A record as it is dumped.
    pub fn write(policy: &Authorization) -> Self {
        let clause = |clause: &Clause| clause.matches.iter().map(MatchForm::write).collect();
        PolicyForm {
            name: policy.key.name.to_string(),
            namespace: policy.key.namespace.to_string(),
            scope: match policy.scope {
                Scope::Global => ScopeForm::Global,
                Scope::Namespace => ScopeForm::Namespace,
                Scope::WorkloadSelector => ScopeForm::WorkloadSelector,
            },
            action: match policy.action {
                Action::Allow => ActionForm::Allow,
                Action::Deny => ActionForm::Deny,
            },
            rules: policy.rules.iter().map(|rule| rule.clauses.iter().map(clause).collect()).collect(),
            dry_run: policy.dry_run,
        }
    }

    pub(super) fn read(&self) -> Result<Authorization, String> {
        let clause = |matches: &Vec<MatchForm>| {
            Ok::<_, String>(Clause { matches: matches.iter().map(MatchForm::read).collect::<Result<_, _>>()? })
        };
        let rule = |clauses: &Vec<Vec<MatchForm>>| {
            Ok::<_, String>(Rule { clauses: clauses.iter().map(clause).collect::<Result<_, _>>()? })
        };
        Ok(Authorization {
            key: PolicyKey::new(&self.namespace, &self.name),
            scope: match self.scope {
                ScopeForm::Global => Scope::Global,
                ScopeForm::Namespace => Scope::Namespace,
                ScopeForm::WorkloadSelector => Scope::WorkloadSelector,
            },
            action: match self.action {
                ActionForm::Allow => Action::Allow,
                ActionForm::Deny => Action::Deny,
            },
            rules: self.rules.iter().map(rule).collect::<Result<_, _>>()?,
            dry_run: self.dry_run,
        })
    }
}

impl MatchForm {
    fn write(choice: &Match) -> Self {
        let strings = |list: &[StringMatch]| list.iter().map(StringForm::write).collect();
        let blocks =
            |list: &[IpBlock]| list.iter().map(|block| format!("{}/{}", block.address, block.prefix_length)).collect();
        let accounts = |list: &[ServiceAccountMatch]| {
            let form = |account: &ServiceAccountMatch| AccountForm {
                namespace: account.namespace.to_string(),
                service_account: account.service_account.to_string(),
            };
            list.iter().map(form).collect()
        };
        MatchForm {
            namespaces: strings(&choice.namespaces),
            not_namespaces: strings(&choice.not_namespaces),
            service_accounts: accounts(&choice.service_accounts),
            not_service_accounts: accounts(&choice.not_service_accounts),
            principals: strings(&choice.principals),
            not_principals: strings(&choice.not_principals),
            source_ips: blocks(&choice.source_ips),
            not_source_ips: blocks(&choice.not_source_ips),
            destination_ips: blocks(&choice.destination_ips),
            not_destination_ips: blocks(&choice.not_destination_ips),
            destination_ports: choice.destination_ports.clone(),
            not_destination_ports: choice.not_destination_ports.clone(),
        }
    }

    fn read(&self) -> Result<Match, String> {
        let strings = |list: &[StringForm]| list.iter().map(StringForm::read).collect();
        let blocks = |list: &[String]| list.iter().map(|text| block(text)).collect::<Result<Vec<_>, _>>();
        let accounts = |list: &[AccountForm]| {
            let account = |form: &AccountForm| ServiceAccountMatch {
                namespace: form.namespace.as_str().into(),
                service_account: form.service_account.as_str().into(),
            };
            list.iter().map(account).collect()
        };
        Ok(Match {
            namespaces: strings(&self.namespaces),
            not_namespaces: strings(&self.not_namespaces),
            service_accounts: accounts(&self.service_accounts),
            not_service_accounts: accounts(&self.not_service_accounts),
            principals: strings(&self.principals),
            not_principals: strings(&self.not_principals),
            source_ips: blocks(&self.source_ips)?,
            not_source_ips: blocks(&self.not_source_ips)?,
            destination_ips: blocks(&self.destination_ips)?,
            not_destination_ips: blocks(&self.not_destination_ips)?,
            destination_ports: self.destination_ports.clone(),
            not_destination_ports: self.not_destination_ports.clone(),
        })
    }
}

/// `address/length`.
fn block(text: &str) -> Result<IpBlock, String> {
    let wrong = || format!("`{text}` is not an address block: write it like 10.0.0.0/8");
    let (address, length) = text.split_once('/').ok_or_else(wrong)?;
    let address = address.parse().map_err(|_| wrong())?;
    let length = length.parse().ok().filter(|length| *length <= full_length(address));
    Ok(IpBlock { address, prefix_length: length.ok_or_else(wrong)? })
}

impl StringForm {
    fn write(string: &StringMatch) -> Self {
        match string {
            StringMatch::Exact(text) => StringForm::Exact(text.to_string()),
            StringMatch::Prefix(text) => StringForm::Prefix(text.to_string()),
            StringMatch::Suffix(text) => StringForm::Suffix(text.to_string()),
            StringMatch::Presence => StringForm::Presence(),
        }
    }

    fn read(&self) -> StringMatch {
        match self {
            StringForm::Exact(text) => StringMatch::Exact(text.as_str().into()),
            StringForm::Prefix(text) => StringMatch::Prefix(text.as_str().into()),
            StringForm::Suffix(text) => StringMatch::Suffix(text.as_str().into()),
            StringForm::Presence() => StringMatch::Presence,
        }
    }
}
