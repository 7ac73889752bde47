"""Keys and what is made with them: message authentication, sealed secrets, PKCS#12, the end of certificates."""
