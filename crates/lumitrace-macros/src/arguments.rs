//! What stands in the parentheses of `#[trace(...)]`.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, Ident, LitStr, Token, parenthesized};

/// The arguments of one `#[trace(...)]`.
#[derive(Default)]
pub(crate) struct Arguments {
    /// `name = "..."`.
    pub(crate) name: Option<LitStr>,
    /// `attributes(key = expression, ...)`.
    pub(crate) attributes: Vec<Attribute>,
    /// `err`.
    pub(crate) records_error: bool,
}

/// One `key = expression`.
pub(crate) struct Attribute {
    pub(crate) key: String,
    pub(crate) value: Expr,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            let keyword: Ident = input.parse()?;
            match keyword.to_string().as_str() {
                "name" => {
                    input.parse::<Token![=]>()?;
                    arguments.name = Some(input.parse()?);
                }
                "attributes" => {
                    let list;
                    parenthesized!(list in input);
                    let list = Punctuated::<Attribute, Token![,]>::parse_terminated(&list)?;
                    arguments.attributes.extend(list);
                }
                "err" => arguments.records_error = true,
                other => {
                    let message =
                        format!("unknown argument `{other}`: use name, attributes(...) or err");
                    return Err(syn::Error::new(keyword.span(), message));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

impl Parse for Attribute {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key = if input.peek(LitStr) {
            input.parse::<LitStr>()?.value()
        } else {
            input.parse::<Ident>()?.to_string()
        };
        input.parse::<Token![=]>()?;
        Ok(Self {
            key,
            value: input.parse()?,
        })
    }
}
