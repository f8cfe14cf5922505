//! Which parameters of the function are recorded, and which of them in the clear.

use syn::{FnArg, Ident, Pat, Signature};

use crate::arguments::{Arguments, Recorded};

/// A parameter that is recorded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(crate) name: Ident,
    pub(crate) is_redacted: bool,
}

/// The parameters to record, in their order.
pub(crate) fn recorded(
    arguments: &Arguments,
    signature: &Signature,
) -> syn::Result<Vec<Parameter>> {
    let names = names(signature);
    let chosen: &[Ident] = match &arguments.recorded {
        Recorded::Chosen(chosen) => chosen,
        Recorded::None | Recorded::All => &[],
    };
    for asked in chosen.iter().chain(&arguments.redacted) {
        if !names.contains(asked) {
            let message = format!("`{asked}` is no argument of `{}`", signature.ident);
            return Err(syn::Error::new(asked.span(), message));
        }
    }
    let records_all = matches!(arguments.recorded, Recorded::All);
    let parameters = names.into_iter().filter_map(|name| {
        let is_redacted = arguments.redacted.contains(&name)
            // Not where it was chosen by name: somebody has thought of it then.
            || records_all && names_a_secret(&name.to_string());
        let is_recorded = is_redacted || records_all || chosen.contains(&name);
        is_recorded.then_some(Parameter { name, is_redacted })
    });
    Ok(parameters.collect())
}

/// The names that the parameters bind; `self` is not among them.
fn names(signature: &Signature) -> Vec<Ident> {
    let mut names = Vec::new();
    for input in &signature.inputs {
        if let FnArg::Typed(input) = input {
            add_names(&input.pat, &mut names);
        }
    }
    names
}

fn add_names(pattern: &Pat, names: &mut Vec<Ident>) {
    match pattern {
        Pat::Ident(pattern) => names.push(pattern.ident.clone()),
        Pat::Reference(pattern) => add_names(&pattern.pat, names),
        Pat::Paren(pattern) => add_names(&pattern.pat, names),
        Pat::Tuple(pattern) => pattern.elems.iter().for_each(|it| add_names(it, names)),
        Pat::TupleStruct(pattern) => pattern.elems.iter().for_each(|it| add_names(it, names)),
        Pat::Slice(pattern) => pattern.elems.iter().for_each(|it| add_names(it, names)),
        Pat::Struct(pattern) => pattern
            .fields
            .iter()
            .for_each(|field| add_names(&field.pat, names)),
        // `_` and the like bind nothing.
        _ => {}
    }
}

/// Whether what is named so is nobody's business; the same rule as in Python. Programs about language have
/// tokens of other kinds: `max_tokens` and `eos_token` are no secrets.
fn names_a_secret(name: &str) -> bool {
    const SECRETS: [&str; 17] = [
        "apikey",
        "auth",
        "authorization",
        "bearer",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "csrf",
        "jwt",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "pwd",
        "secret",
        "secrets",
    ];
    const KINDS_OF_KEY: [&str; 10] = [
        "access",
        "account",
        "api",
        "encryption",
        "master",
        "private",
        "secret",
        "service",
        "signing",
        "ssh",
    ];
    const KINDS_OF_TOKEN: [&str; 19] = [
        "bos", "cls", "eos", "first", "image", "last", "mask", "max", "min", "new", "next", "pad",
        "per", "prev", "previous", "sep", "special", "stop", "unk",
    ];
    let name = name.to_ascii_lowercase();
    let words: Vec<&str> = name.split('_').filter(|word| !word.is_empty()).collect();
    let is_key = |pair: &[&str]| pair[1] == "key" && KINDS_OF_KEY.contains(&pair[0]);
    let is_token = match words[..] {
        [.., kind, "token"] => !KINDS_OF_TOKEN.contains(&kind),
        ["token"] => true,
        _ => false,
    };
    is_token || words.windows(2).any(is_key) || words.iter().any(|word| SECRETS.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded_of(arguments: &str, signature: &str) -> syn::Result<Vec<(String, bool)>> {
        let arguments: Arguments = syn::parse_str(arguments).unwrap();
        let signature: Signature = syn::parse_str(signature).unwrap();
        let parameters = recorded(&arguments, &signature)?.into_iter();
        let pair = |parameter: Parameter| (parameter.name.to_string(), parameter.is_redacted);
        Ok(parameters.map(pair).collect())
    }

    fn pairs<const N: usize>(pairs: [(&str, bool); N]) -> Vec<(String, bool)> {
        let pairs = pairs.into_iter();
        pairs
            .map(|(name, is_redacted)| (name.to_owned(), is_redacted))
            .collect()
    }

    #[test]
    fn nothing_is_recorded_unless_asked_for() {
        assert_eq!(recorded_of("", "fn f(a: u8)").unwrap(), []);
    }

    #[test]
    fn all_names_of_all_patterns_are_found() {
        let signature = "fn f(&self, mut a: u8, (b, _): (u8, u8), Point { x, y: [c, ..] }: Point)";
        let expected = pairs([("a", false), ("b", false), ("x", false), ("c", false)]);
        assert_eq!(recorded_of("args", signature).unwrap(), expected);
    }

    #[test]
    fn t27_secrets_are_redacted_by_their_names_and_on_request() {
        let signature = "fn f(user: &str, user_password: &str, api_key: &str, max_tokens: u32)";
        let expected = pairs([
            ("user", true),
            ("user_password", true),
            ("api_key", true),
            ("max_tokens", false),
        ]);
        assert_eq!(
            recorded_of("args, redact(user)", signature).unwrap(),
            expected
        );
        let chosen = recorded_of("args(api_key), redact(user_password)", signature).unwrap();
        let expected = pairs([("user_password", true), ("api_key", false)]);
        assert_eq!(chosen, expected);
    }

    #[test]
    fn t27_secrets_are_told_by_their_names() {
        for secret in [
            "password",
            "db_password",
            "API_KEY",
            "token",
            "access_token",
            "_auth",
            "jwt",
        ] {
            assert!(names_a_secret(secret), "{secret}");
        }
        for harmless in [
            "key",
            "author",
            "max_tokens",
            "eos_token",
            "token_count",
            "",
            "keys",
        ] {
            assert!(!names_a_secret(harmless), "{harmless}");
        }
    }

    #[test]
    fn a_name_that_is_no_argument_is_an_error() {
        for arguments in ["args(b)", "redact(b)"] {
            let error = recorded_of(arguments, "fn f(a: u8)").unwrap_err();
            assert_eq!(error.to_string(), "`b` is no argument of `f`");
        }
    }
}
