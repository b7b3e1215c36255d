import Web

serve("segments", [])
