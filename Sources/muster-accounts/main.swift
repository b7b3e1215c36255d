import Web

serve("accounts", [])
