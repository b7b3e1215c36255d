import Web

serve("campaigns", [])
