"""The content security policy allows a page's own scripts and nothing else."""

import base64
import hashlib
import re

import pytest

import policy

PAGE = (
    '<!DOCTYPE html><html><head><meta charset="utf-8"/></head><body>'
    "<script>let a = 1;</script>"
    '<script type="application/json">{"data": 1}</script>'
    '<script src="a.js"></script></body></html>'
)


def allowed(page: str) -> list[str]:
    return re.findall(r"'(sha256-[^']+)'", re.search(r'content="([^"]*)"', page)[1])


def digest(body: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()


def test_inline_code_is_allowed_by_its_hash_and_data_needs_none():
    assert allowed(policy.protect(PAGE)) == [digest("let a = 1;")]


def test_an_inline_style_is_allowed_by_its_hash_and_attributes_are():
    page = policy.protect(PAGE.replace("<body>", '<style>p{color:red}</style><body style="a:b">'))
    (elements,) = re.findall(r"style-src-elem ([^;\"]*)", page)
    assert elements.split() == ["'self'", f"'{digest('p{color:red}')}'"]
    assert "style-src-attr 'unsafe-inline'" in page


def test_a_tampered_script_is_not_allowed():
    tampered = policy.protect(PAGE).replace("let a = 1;", "let a = 2;")
    assert digest("let a = 2;") not in allowed(tampered)


def test_no_code_is_allowed_by_its_place_in_the_page():
    scripts = re.search(r"script-src ([^;]*)", policy.policy(PAGE))[1].split()
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "https:", "data:"} & set(scripts)
    assert "default-src 'none'" in policy.policy(PAGE)
    assert not re.search(r"https?:", policy.policy(PAGE))


def test_the_policy_comes_first_and_marks_the_page_as_finished():
    page = policy.protect(PAGE)
    assert re.search(r'<head><meta charset="utf-8"/>\s*<meta http-equiv="Content-Security', page)
    assert 'name="referrer"' in page
    assert policy.is_protected(page)
    assert not policy.is_protected(PAGE)


def test_an_inline_handler_is_refused():
    with pytest.raises(policy.PolicyError, match="onclick"):
        policy.protect(PAGE.replace("<body>", '<body><a onclick="go()">x</a>'))
    # Words in text and in scripts are no handlers.
    policy.protect(PAGE.replace("<body>", "<body><p>once on = off</p>"))
    policy.protect(PAGE.replace("let a = 1;", "a = '<b onclick=x>';"))


def test_a_page_without_a_charset_is_refused():
    with pytest.raises(policy.PolicyError, match="charset"):
        policy.protect("<html><head></head></html>")
